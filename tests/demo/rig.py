"""Workers that answer by a script, over the same sockets as real ones, and what they answer by."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cachctl.demo.forward import Forward, forward_of_directory
from cachctl.demo.load import Lane, Reference
from cachctl.demo.protocol import Answer, Question, receive, send
from cachctl.demo.tensors import Array
from cachctl.demo.tiny_model import make_versions

SEED = 20
QUESTIONS = [
    np.random.default_rng(SEED + number).integers(0, 30_000, 12).astype(np.int32)
    for number in range(8)
]
Reply = Callable[[Question], bytes | None]
"""The frame that answers a question; None cuts the connection, as a killed process does."""


class Versions:
    """Both versions of the demo's model, their directories and what they must answer."""

    def __init__(self, folder: Path) -> None:
        self.folders = dict(enumerate(make_versions(folder, SEED), start=1))
        self.forwards = {n: forward_of_directory(path) for n, path in self.folders.items()}
        self.references = {
            digest(number): Reference(number, [forward(ids) for ids in QUESTIONS])
            for number, forward in self.forwards.items()
        }

    def answer(
        self, question: Question, number: int = 1, generation: int = 1, choice: int = 0,
        forward: Forward | None = None, says: int | None = None,
    ) -> bytes:  # fmt: skip
        """What an honest worker says by version `number`; or another `forward`, or what it `says`
        is its number."""
        vector: Array = (forward or self.forwards[number])(question.ids)
        return Answer(
            says or number, generation, choice, time.monotonic_ns(), digest(number), vector
        ).encode()


def digest(number: int) -> bytes:
    return hashlib.sha256(b"version %d" % number).digest()


class ScriptedWorker:
    """Listens on `path`; each connection is answered by `reply`. `kill` is as rough as SIGKILL."""

    def __init__(self, path: Path, reply: Reply) -> None:
        self.asked: list[tuple[float, float]] = []
        """When each question came, and how long it was to wait."""
        self._reply = reply
        self._path = path
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def kill(self) -> None:
        self._path.unlink(missing_ok=True)
        for one in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                question = Question.decode(receive(connection))
                self.asked.append((time.monotonic(), question.wait_s))
                time.sleep(question.wait_s)
                frame = self._reply(question)
                if frame is None:
                    return
                send(connection, frame)


@contextmanager
def lane_on(
    folder: Path, versions: Versions, *replies: Reply, per_second: float = 500.0
) -> Iterator[tuple[Lane, list[ScriptedWorker]]]:
    """A running lane of the first of the workers that answer by `replies`."""
    sockets = {f"worker-{number}": folder / f"{number}.sock" for number in range(len(replies))}
    workers = [
        ScriptedWorker(path, reply) for path, reply in zip(sockets.values(), replies, strict=True)
    ]
    lane = Lane("worker-0", sockets, QUESTIONS, versions.references, per_second)
    lane.start()
    try:
        yield lane, workers
    finally:
        lane.stop()
        for worker in workers:
            worker.kill()


def until(holds: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.002)


def processes_of(folder: Path) -> list[str]:
    """Command lines, of processes that live, which name `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in line:
            found.append(line)
    return found
