"""The load: per worker a lane that always has one request in flight, paced; all answers checked.

An answer is wrong if its vector is not what the version that claims to have given it must answer,
if number and digest do not belong together, if a worker goes back to an earlier move, or if there
is none though the worker lives. Which
version was in force under a guard is compared at the end, since a worker may know of a move before
the one who made it. A request whose worker is killed is asked again of another worker, as any load
balancer does, and counts as failed only if no other answers it.

Each lane is a thread and the only writer of its tally; others may read it at any time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cachctl.demo.protocol import Answer, MalformedFrame, Question, receive, send
from cachctl.demo.tensors import Array

TIMEOUT_S = 5.0
_BEHIND_S_MAX = 0.05  # a lane that was held up makes good for this much, no more
_COMPLAINTS_MAX = 20
_TOLERANCE = 1e-4
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
    """What one lane saw. `first_ns`: per worker and guard, when the first answer was given;
    `claims`: which version number was claimed under which guard."""

    requests: int = 0
    failed: int = 0
    wrong: int = 0
    retried: int = 0
    latencies_s: list[float] = field(default_factory=list)
    first_ns: dict[tuple[str, Key], int] = field(default_factory=dict)
    now: dict[str, Key] = field(default_factory=dict)
    claims: set[tuple[Key, int]] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    own: int = 0
    own_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Flight:
    """A request that has no answer yet; without a connection it could not be sent."""

    question: int
    due: float
    sent: float
    connection: socket.socket | None


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
        self._others = [other for other in sockets if other != worker]
        self._sockets = sockets
        self._questions = questions
        self._references = references
        self._interval_s = 1 / per_second
        self._open: dict[str, socket.socket] = {}
        self._stop = threading.Event()
        self.tally = LaneTally()
        self._thread = threading.Thread(target=self._run, name=f"lane {worker}", daemon=True)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End once the request in flight is answered and checked."""
        self._stop.set()
        self._thread.join()
        for connection in self._open.values():
            connection.close()

    def _run(self) -> None:
        try:
            self._drive()
        except Exception as error:
            # A lane that ended in silence would look like a fleet without faults.
            self.tally.failed += 1
            self._complain(f"the load on {self._worker} ended by a fault of its own: {error!r}")
            raise

    def _drive(self) -> None:
        due = began = time.monotonic()
        flight: _Flight | None = self._send(0, due)
        number = 0
        while flight is not None:
            answered = self._finish(flight)
            number += 1
            due = max(due + self._interval_s, time.monotonic() - _BEHIND_S_MAX)
            following = None
            if not self._stop.is_set():
                following = self._send(number % len(self._questions), due)
            if answered is not None:
                self._check(answered[0], flight.question, answered[1])
            self.tally.own_s = time.monotonic() - began
            flight = following

    def _send(self, question: int, due: float) -> _Flight:
        """Ask the lane's own worker, to be answered when it is due."""
        now = time.monotonic()
        try:
            connection = self._ask(self._worker, question, max(0.0, due - now))
        except OSError:
            self._drop(self._worker)
            connection = None
        return _Flight(question, due, now, connection)

    def _finish(self, flight: _Flight) -> tuple[str, Answer] | None:
        """The answer, and who gave it; None if nobody did, or none that can be read."""
        self.tally.requests += 1
        answer = self._take(self._worker, flight.connection)
        if answer is not None:
            self.tally.own += 1
            return self._answered(self._worker, flight, answer)
        for worker in self._others:
            try:
                wait_s = max(0.0, flight.due - time.monotonic())
                answer = self._take(worker, self._ask(worker, flight.question, wait_s))
            except OSError:
                self._drop(worker)
            if answer is not None:
                self.tally.retried += 1
                return self._answered(worker, flight, answer)
        self.tally.failed += 1
        self._complain(f"no worker answered question {flight.question}")
        return None

    def _answered(self, worker: str, flight: _Flight, answer: Answer) -> tuple[str, Answer]:
        self.tally.latencies_s.append(time.monotonic() - max(flight.due, flight.sent))
        return worker, answer

    def _ask(self, worker: str, question: int, wait_s: float) -> socket.socket:
        """The connection on which the answer will come; OSError if `worker` is gone."""
        connection = self._open.get(worker)
        if connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._open[worker] = connection
            connection.settimeout(TIMEOUT_S + self._interval_s)
            connection.connect(str(self._sockets[worker]))
        send(connection, Question(wait_s, self._questions[question]).encode())
        return connection

    def _take(self, worker: str, connection: socket.socket | None) -> Answer | None:
        if connection is None:
            return None
        try:
            return Answer.decode(receive(connection))
        except TimeoutError:
            self._wrong(worker, f"did not answer within {TIMEOUT_S:.0f} s")
        except MalformedFrame as error:
            self._wrong(worker, f"answered {error}")
        except OSError:
            pass  # gone; whether somebody killed it, the fleet knows
        self._drop(worker)
        return None

    def _drop(self, worker: str) -> None:
        connection = self._open.pop(worker, None)
        if connection is not None:
            connection.close()

    def _check(self, worker: str, question: int, answer: Answer) -> None:
        key = (answer.generation, answer.choice)
        before = self.tally.now.get(worker, key)
        self.tally.now[worker] = key
        self.tally.first_ns.setdefault((worker, key), answer.answered_ns)
        self.tally.claims.add((key, answer.number))
        reference = self._references.get(answer.digest)
        if key < before:
            self._wrong(worker, f"went back from {before[0]}.{before[1]} to {key[0]}.{key[1]}")
        elif reference is None or reference.number != answer.number:
            self._wrong(worker, f"claims version {answer.number} with another digest")
        elif not same(answer.vector, reference.vectors[question]):
            self._wrong(worker, f"answered question {question} not as version {answer.number}")

    def _wrong(self, worker: str, complaint: str) -> None:
        self.tally.wrong += 1
        self._complain(f"{worker} {complaint}")

    def _complain(self, complaint: str) -> None:
        if len(self.tally.complaints) < _COMPLAINTS_MAX:
            self.tally.complaints.append(complaint)


def same(given: Array, expected: Array) -> bool:
    """Equal but for the order of additions, which may depend on alignment. NaN equals nothing.

    Relative, so that models with small numbers are told apart as well; np.allclose takes five times
    as long, and the load shares the machine with what it measures."""
    if given.shape != expected.shape:
        return False
    size = np.abs(expected)
    return bool((np.abs(given - expected) <= _TOLERANCE * (size + size.mean())).all())
