"""The client against a daemon played by hand: what it announces, ignores and survives."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve import from_daemon
from cachd.serve.client import Attached
from cachd.serve.flip_page import FlipPage
from cachd.serve.names import name_tag
from cachd.serve.resident import ResidentVersion
from cachd.serve.wire import FrameReader, send_frame
from tests.serve.rig import MODEL, STAGE, until

Attach = Callable[..., Attached[Any]]


class PlayedDaemon:
    def __init__(self, runtime_dir: Path, versions: list[ResidentVersion]) -> None:
        runtime_dir.mkdir()
        self.versions = versions
        self.page_path = runtime_dir / "page"
        self.page = FlipPage.create_or_open(str(self.page_path), 1, incarnation=1)
        self.page.claim(0, name_tag(MODEL, STAGE))
        self.page.flip(0, 1, 1, 0)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(runtime_dir / "cachd.sock"))
        self.listener.listen()
        self.listener.settimeout(20)
        self.sock: socket.socket | None = None

    def accept(self, *adopted: int) -> dict[str, Any]:
        """Take the next connection; its `attach`, which is answered."""
        self.hang_up()
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(20)
        self._reader = FrameReader(accepts_fds=False)
        self._ready: list[dict[str, Any]] = []
        attach = self.next()
        welcome = from_daemon.Attached(0, 1, 1, 600, frozenset(adopted))
        self.send_with(welcome.message(), self.page_path)
        return attach

    def next(self) -> dict[str, Any]:
        assert self.sock is not None
        while not self._ready:
            assert self._reader.receive(self.sock), "the worker hung up"
            self._ready += [message for message, _ in self._reader.frames()]
        return self._ready.pop(0)

    def send_with(self, message: dict[str, Any], path: Path) -> None:
        assert self.sock is not None
        fd = os.open(path, os.O_RDONLY)
        send_frame(self.sock, message, [fd])
        os.close(fd)

    def prepare(self, handle: int, number: int) -> None:
        version = self.versions[number]
        message = from_daemon.Prepare(
            handle,
            flip_hint=1,
            generation=1,
            choice=0,
            number=number,
            digest=version.digest,
            path=version.path,
            files=None,
        )
        self.send_with(message.message(), Path(version.path))

    def hang_up(self) -> None:
        if self.sock is not None:
            self.sock.close()

    def close(self) -> None:
        self.hang_up()
        self.listener.close()


@pytest.fixture
def daemon(runtime_dir: Path, versions: list[ResidentVersion]) -> Iterator[PlayedDaemon]:
    played = PlayedDaemon(runtime_dir, versions)
    yield played
    played.close()


@pytest.fixture
def model(daemon: PlayedDaemon, attached: Attach) -> Iterator[Any]:
    """Attached by handle 1, version 1; `loads` of it lists what was loaded."""
    loads: list[int] = []

    def load(version: Any) -> int:
        loads.append(version.number)
        return int(bytes(version.buffer("number.txt")))

    import threading

    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(attached(load)))
    thread.start()
    first = daemon.accept()
    assert (first["held"], first["model"], first["pid"]) == ([], MODEL, os.getpid())
    daemon.prepare(1, 1)
    said = [daemon.next(), daemon.next()]
    assert sorted(one["op"] for one in said) == ["ready", "switched"]
    thread.join(20)
    made[0].loads = loads
    yield made[0]
    made[0].close()


def test_held_versions_are_announced_and_acknowledged_without_a_load(
    daemon: PlayedDaemon, model: Any
) -> None:
    held = [{"handle": 1, "digest": daemon.versions[1].digest, "ready": True}]
    daemon.hang_up()
    assert daemon.accept(1)["held"] == held
    assert daemon.next()["op"] == "switched"  # tells again where it is
    daemon.prepare(1, 1)
    assert daemon.next() == {"op": "ready", "handle": 1}
    daemon.hang_up()
    assert daemon.accept()["held"] == held
    daemon.prepare(7, 1)  # not adopted, but the same bytes under another handle
    assert daemon.next() == {"op": "ready", "handle": 7}
    daemon.page.flip(0, 7, 2, 0)
    assert (model.acquire().handle, model.acquire().generation, model.loads) == (7, 2, [1])
    daemon.hang_up()
    assert daemon.accept(7)["held"] == [{**held[0], "handle": 7}]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2[]",
        b'\0\0\0\x10{"op":"prepare"}',
        b'\0\0\0\x1a{"op":"retire","handle":0}',
    ],
)
def test_garbage_from_a_daemon_costs_no_answer(
    daemon: PlayedDaemon, model: Any, garbage: bytes
) -> None:
    assert daemon.sock is not None
    daemon.sock.sendall(garbage)
    assert daemon.accept(1)["held"][0]["handle"] == 1
    assert model.acquire().value == 1


def test_later_ops_are_ignored(daemon: PlayedDaemon, model: Any) -> None:
    assert daemon.sock is not None
    send_frame(daemon.sock, {"op": "sing", "song": "…"})
    daemon.send_with({"op": "gift"}, Path("/"))
    daemon.prepare(2, 2)
    assert daemon.next() == {"op": "ready", "handle": 2}
    assert model.loads == [1, 2]


def test_retire_of_what_is_in_force_is_survived(daemon: PlayedDaemon, model: Any) -> None:
    assert daemon.sock is not None
    send_frame(daemon.sock, from_daemon.Retire(1).message())
    daemon.prepare(2, 2)
    assert daemon.next() == {"op": "ready", "handle": 2}
    assert model.acquire().value == 1
    daemon.page.flip(0, 2, 2, 0)
    assert model.acquire().value == 2
    assert [daemon.next()["op"], daemon.next()] == ["switched", {"op": "released", "handle": 1}]


def test_a_handle_that_changes_its_meaning_ends_the_connection(
    daemon: PlayedDaemon, model: Any
) -> None:
    daemon.prepare(1, 2)
    assert daemon.accept(1)["held"][0]["digest"] == daemon.versions[1].digest
    assert model.acquire().value == 1


def test_another_models_slot_is_refused(daemon: PlayedDaemon, model: Any) -> None:
    daemon.page.claim(0, 12345)
    daemon.hang_up()
    daemon.accept(1)
    daemon.page.claim(0, name_tag(MODEL, STAGE))
    daemon.accept(1)  # it hung up by itself, and came again
    assert daemon.next()["op"] == "switched"
    assert model.acquire().value == 1


def test_a_page_that_is_damaged_under_a_worker_is_survived(
    daemon: PlayedDaemon, model: Any
) -> None:
    with daemon.page_path.open("r+b") as file:
        file.seek(64)
        file.write(os.urandom(8))
    assert model.acquire().value == 1
    assert "flip page" in model.last_error
    until(lambda: model.acquire().value == 1, "it goes on")
