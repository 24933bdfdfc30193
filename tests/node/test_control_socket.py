"""The control socket: what goes over it, byte for byte, and callers who misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cachd.control.host_client import HostClient, HostRefused, NodeUnavailable
from cachd.control.host_requests import (
    CALLERS_MAX,
    REASON_CHARS_MAX,
    HostRequest,
    error_message,
    stage_message,
)
from cachd.control.reports import LocalBody, PointBody, StageReport
from cachd.node.control_socket import ControlSocket
from cachd.serve.wire import encode_frame
from registry_core.domain.identifiers import StageRef
from registry_core.errors import Conflict

REF = StageRef.parse("minilm@production")
REQUEST = HostRequest("rollback", REF, "why")


def answer(request: HostRequest, uid: int, received_ns: int) -> StageReport:
    if request.op == "undo":
        raise Conflict("no")
    report = StageReport("minilm", "production", "diverged", detail=request.reason)
    report.local = LocalBody("2.0", request.reason, uid, 5)
    return report


def on_socket(folder: Path, act: Callable[[Path], None]) -> None:
    """`act` in a thread, beside a control socket on its event loop."""

    async def run() -> None:
        control = ControlSocket(folder / "control.sock", answer)
        control.start()
        try:
            acting: Awaitable[None] = asyncio.to_thread(act, folder / "control.sock")
            await asyncio.wait_for(acting, 30)
        finally:
            control.stop()
        assert not (folder / "control.sock").exists()

    asyncio.run(run())


def test_golden_messages() -> None:
    """docs/FORMATS.md shows the same."""
    assert encode_frame(REQUEST.message()) == (
        b'\x00\x00\x00\x53{"op":"rollback","protocol":1,"model":"minilm","stage":"production",'
        b'"reason":"why"}'
    )
    report = StageReport("minilm", "production", "diverged", desired=PointBody(2, 0, 2, "sha256:b"))
    report.local = LocalBody("2.0", "why", 0, 5)
    assert json.dumps(stage_message(report)["report"]["local"], separators=(",", ":")) == (
        '{"at":"2.0","reason":"why","uid":0,"since_ms":5,"ended":""}'
    )
    assert error_message(Conflict("no")) == {"op": "error", "code": "conflict", "message": "no"}


def test_questions_and_answers(tmp_path: Path) -> None:
    def act(path: Path) -> None:
        with HostClient(path) as host:
            assert host.ask(REQUEST).detail == "why"
            with pytest.raises(HostRefused, match="no") as refused:
                host.ask(HostRequest("undo", REF))
            assert refused.value.code == "conflict"
            with pytest.raises(HostRefused, match="cannot be asked"):
                host.ask(HostRequest("dance", REF))
            with pytest.raises(HostRefused, match="at most"):
                host.ask(HostRequest("rollback", REF, "x" * (REASON_CHARS_MAX + 1)))
            assert host.ask(HostRequest("look", REF)).local is not None

    on_socket(tmp_path, act)
    with pytest.raises(NodeUnavailable, match="start it"):
        HostClient(tmp_path / "control.sock")


def test_callers_who_misbehave(tmp_path: Path) -> None:
    def act(path: Path) -> None:
        def call(data: bytes) -> socket.socket:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(10)
            sock.connect(str(path))
            if data:  # even nothing fails once the node has ended the connection
                sock.sendall(data)
            return sock

        def ends(sock: socket.socket) -> bool:
            try:
                return sock.recv(100) == b""
            except ConnectionResetError:
                return True

        for garbage in (b"\xff\xff\xff\xff", b"\0\0\0\x02[]", b"GET / HTTP/1.1\r\n"):
            with call(garbage) as sock:
                assert ends(sock)
        with call(encode_frame({"op": "rollback", "protocol": 2})) as sock:
            assert b"protocol 1, not 2" in sock.recv(1000)
        whole = encode_frame(REQUEST.message())
        with call(whole[:7]) as half:
            idle = [call(b"") for _ in range(CALLERS_MAX - 1)]
            with call(b"") as one_too_many:
                assert ends(one_too_many)
            for sock in idle:
                sock.close()
            half.sendall(whole[7:])
            assert b'"op":"stage"' in half.recv(2000)

    on_socket(tmp_path, act)
