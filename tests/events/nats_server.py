"""A throwaway NATS server with JetStream on loopback, from Debian's package `nats-server`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nats
import pytest
from nats.js.errors import NotFoundError

_START_S = 20.0


@dataclass(frozen=True)
class Stored:
    """A message as the stream holds it."""

    subject: str
    id: str
    body: bytes


class NatsServer:
    """Started by construction; what it acknowledged is still there after a restart."""

    def __init__(self, home: Path) -> None:
        self._home = home
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    @contextmanager
    def in_new_folder(cls) -> Iterator[NatsServer]:
        """A server for as long as the context lasts; the test skips, or in CI fails, without."""
        if shutil.which("nats-server") is None:
            missing = "nats-server is not installed (Debian: nats-server)"
            if os.environ.get("REQUIRE_ALL_TESTS"):
                pytest.fail(missing)
            pytest.skip(missing)
        home = Path(tempfile.mkdtemp(prefix="cachd-nats-"))
        server = cls(home)
        try:
            yield server
        finally:
            server.kill()
            shutil.rmtree(home)

    def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js",
                 "-sd", str(self._home / "streams")],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_START_S)
            self._process = None

    def stored(self, stream: str = "CACHD") -> list[Stored]:
        """All that the stream holds, in its order; nothing if there is no stream yet."""
        return asyncio.run(_read(self.url, stream))


async def _read(url: str, stream: str) -> list[Stored]:
    client = await nats.connect(url, connect_timeout=5)
    try:
        context = client.jetstream(timeout=5)
        try:
            state = (await context.stream_info(stream)).state
        except NotFoundError:
            return []
        found: list[Stored] = []
        if not state.messages:
            return found
        for number in range(state.first_seq, state.last_seq + 1):
            message = await context.get_msg(stream, number)
            headers = message.headers or {}
            found.append(Stored(message.subject or "", headers["Nats-Msg-Id"], message.data or b""))
        return found
    finally:
        await client.close()
