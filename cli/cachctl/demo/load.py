"""The load: one lane per worker with one request in flight, paced, and every answer checked.

An answer is wrong if its vector is not what the version that claims to have given it must answer,
or if number and digest do not belong together. A request whose worker is killed is asked again of
another worker, as any load balancer does, and counts as failed only if that fails too.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cachctl.demo.protocol import Answer, receive, send
from cachctl.demo.tensors import Array

TIMEOUT_S = 5.0
SWITCH_INTERVAL_S = 0.0005
"""Lanes share an interpreter; with the default of 5 ms one of them could ask that much too late."""
Key = tuple[int, int]
"""(generation, choice)"""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version must answer: its number, and a vector per question."""

    number: int
    vectors: Sequence[Array]


@dataclass
class LaneTally:
    """What one lane saw. `first_ns`: per worker and guard, when the first answer was given."""

    requests: int = 0
    failed: int = 0
    wrong: int = 0
    retried: int = 0
    late: int = 0
    latencies_s: list[float] = field(default_factory=list)
    first_ns: dict[tuple[str, Key], int] = field(default_factory=dict)
    now: dict[str, Key] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    own: int = 0
    own_s: float = 0.0


class Lane:
    """A thread that asks `worker`, and others while that one is gone."""

    def __init__(
        self,
        worker: str,
        sockets: Mapping[str, Path],
        questions: Sequence[Array],
        references: Mapping[bytes, Reference],
        per_second: float,
    ) -> None:
        self._worker = worker
        self._order = [worker, *(other for other in sockets if other != worker)]
        self._sockets = sockets
        self._questions = questions
        self._references = references
        self._interval_s = 1 / per_second
        self._open: dict[str, socket.socket] = {}
        self._stop = threading.Event()
        self.tally = LaneTally()
        self._thread = threading.Thread(target=self._run, name=f"lane {worker}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._open.values():
            connection.close()

    def _run(self) -> None:
        due = began = time.monotonic()
        number = 0
        while not self._stop.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._interval_s, time.monotonic() - 0.05)
            self._ask(number % len(self._questions))
            number += 1
            self.tally.own_s = time.monotonic() - began

    def _ask(self, question: int) -> None:
        payload = self._questions[question].tobytes()
        began = time.monotonic()
        self.tally.requests += 1
        for attempt, worker in enumerate(self._order):
            try:
                answer = self._exchange(worker, payload)
            except (ConnectionError, FileNotFoundError, TimeoutError):
                self._drop(worker)
                continue
            self.tally.retried += attempt > 0
            self.tally.own += worker == self._worker
            self.tally.latencies_s.append(time.monotonic() - began)
            self._check(worker, question, answer)
            return
        self.tally.failed += 1
        self.tally.complaints.append(f"no worker answered question {question}")

    def _exchange(self, worker: str, payload: bytes) -> Answer:
        connection = self._open.get(worker)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._open[worker] = connection
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(self._sockets[worker]))
        send(connection, payload)
        return Answer.decode(receive(connection))

    def _drop(self, worker: str) -> None:
        connection = self._open.pop(worker, None)
        if connection is not None:
            connection.close()

    def _check(self, worker: str, question: int, answer: Answer) -> None:
        key = (answer.generation, answer.choice)
        self.tally.now[worker] = key
        self.tally.first_ns.setdefault((worker, key), answer.answered_ns)
        reference = self._references.get(answer.digest)
        if reference is None or reference.number != answer.number:
            self._wrong(worker, f"claims version {answer.number} with another digest")
        elif not same(answer.vector, reference.vectors[question]):
            self._wrong(worker, f"answered question {question} not as version {answer.number}")

    def _wrong(self, worker: str, complaint: str) -> None:
        self.tally.wrong += 1
        if len(self.tally.complaints) < 20:
            self.tally.complaints.append(f"{worker} {complaint}")


def same(given: Array, expected: Array) -> bool:
    """Equal but for the order of additions, which may depend on alignment."""
    return given.shape == expected.shape and bool(
        np.allclose(given, expected, rtol=1e-4, atol=1e-5)
    )
