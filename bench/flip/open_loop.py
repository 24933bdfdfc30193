"""The load, in a process of its own: requests at times that were drawn before any answer came.

A request counts from when it was due, so one that waits behind a slow answer is as late as its
user would find it (no coordinated omission). Each goes to the worker that has least in flight; if
that one dies, it is asked of another. One thread and no timers: `select` wakes by microseconds.
Answers are kept as they came and checked after the phase, so that checking does not compete.
"""

from __future__ import annotations

import bisect
import os
import random
import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from cachctl.demo.load import same
from cachctl.demo.protocol import Answer, MalformedFrame, Question
from cachctl.demo.tensors import Array

GIVE_UP_S = 5.0
AT_ONCE_MAX = 8
"""In flight at one worker, as in a server's pool of threads; more wait, and their time counts."""
_AGAIN_S = 0.02
_COMPLAINTS_MAX = 10
_PRIORITY = -10


@dataclass(frozen=True, slots=True)
class Phase:
    """`per_second`: of all workers together, Poisson; 0: `at_once` in flight all the time, each
    answered `wait_s` after it is asked. `spread`: as many in flight at each worker."""

    seed: int
    questions: list[Array]
    per_second: float = 0.0
    at_once: int = 1
    wait_s: float = 0.0
    spread: bool = False


@dataclass
class Tally:
    latencies_s: list[float] = field(default_factory=list)
    due_s: list[float] = field(default_factory=list)
    """When each of these was due, on the monotonic clock."""
    failed: int = 0
    wrong: int = 0
    retried: int = 0
    first_ns: dict[tuple[str, tuple[int, int]], int] = field(default_factory=dict)
    """(worker, (generation, choice)) -> when it first answered so."""
    claims: set[tuple[tuple[int, int], int]] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def within(self, spans_s: list[tuple[float, float]]) -> list[float]:
        """Latencies of what was under way in one of these spans, which are in order."""
        begins = [begin for begin, _ in spans_s]
        found = []
        for due_s, latency_s in zip(self.due_s, self.latencies_s, strict=True):
            at = bisect.bisect_right(begins, due_s + latency_s) - 1  # the last to begin before
            if at >= 0 and due_s <= spans_s[at][1]:
                found.append(latency_s)
        return found

    def complain(self, text: str) -> None:
        if len(self.complaints) < _COMPLAINTS_MAX:
            self.complaints.append(text)


@dataclass(slots=True)
class _Flight:
    due_s: float
    question: int
    worker: str = ""
    got: bytearray = field(default_factory=bytearray)


References = dict[bytes, tuple[int, list[list[Array]]]]
"""Digest -> number, and the vectors to each list of questions, which is found by its length."""


def serve_load(pipe: Connection, sockets: dict[str, str], references: References) -> None:
    """Runs phases as they come over the pipe, each until something comes again; None ends it."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    pipe.send("ready")
    while (phase := pipe.recv()) is not None:
        pipe.send(_Load(sockets, phase, references).run(pipe))
        pipe.recv()  # what stopped it


class _Load:
    def __init__(self, sockets: dict[str, str], phase: Phase, references: References) -> None:
        self._sockets, self._phase, self._references = sockets, phase, references
        self._rng = random.Random(phase.seed)
        self._idle: dict[str, list[socket.socket]] = {worker: [] for worker in sockets}
        self._flying: dict[socket.socket, _Flight] = {}
        self._count = dict.fromkeys(sockets, 0)
        self._down: dict[str, float] = {}
        self._waiting: deque[_Flight] = deque()
        self._answers: list[tuple[str, int, bytes]] = []
        self.tally = Tally()

    def run(self, pipe: Connection) -> Tally:
        next_s, number = time.monotonic(), 0
        stopping = False
        while not stopping or self._flying or self._waiting:
            stopping = stopping or pipe.poll()
            now_s = time.monotonic()
            while not stopping and self._is_due(next_s, now_s):
                due_s = next_s if self._phase.per_second else now_s
                number += 1
                self._send(_Flight(due_s, number % len(self._phase.questions)))
                if self._phase.per_second:
                    next_s += self._rng.expovariate(self._phase.per_second)
            self._send_waiting()
            self._listen(next_s if self._phase.per_second and not stopping else now_s + _AGAIN_S)
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._check()
        return self.tally

    def _is_due(self, next_s: float, now_s: float) -> bool:
        if self._phase.per_second:
            return next_s <= now_s
        if self._phase.spread:
            return min(self._count.values()) < self._phase.at_once and not self._waiting
        return len(self._flying) + len(self._waiting) < self._phase.at_once

    def _send_waiting(self) -> None:
        """In order, as long as somebody takes one."""
        for _ in range(len(self._waiting)):
            flight = self._waiting.popleft()
            self._send(flight)
            if self._waiting and self._waiting[-1] is flight:
                self._waiting.rotate(1)
                return

    def _send(self, flight: _Flight) -> None:
        now_s = time.monotonic()
        up = [
            one
            for one in self._sockets
            if self._down.get(one, 0.0) <= now_s and self._count[one] < AT_ONCE_MAX
        ]
        self._rng.shuffle(up)
        for worker in sorted(up, key=self._count.__getitem__):
            if self._ask(worker, flight):
                return
            self._down[worker] = now_s + _AGAIN_S
        if now_s - flight.due_s > GIVE_UP_S:
            self.tally.failed += 1
            self.tally.complain(f"nobody answered question {flight.question}")
        else:
            self._waiting.append(flight)

    def _ask(self, worker: str, flight: _Flight) -> bool:
        data = Question(self._phase.wait_s, self._phase.questions[flight.question]).encode()
        framed = len(data).to_bytes(4, "little") + data
        idle = self._idle[worker]
        while True:
            known = bool(idle)
            try:
                connection = idle.pop() if known else _connect(self._sockets[worker])
                connection.sendall(framed)
            except OSError:
                if known:
                    continue  # of a worker that was killed since
                return False
            flight.worker, flight.got = worker, bytearray()
            self._flying[connection] = flight
            self._count[worker] += 1
            return True

    def _listen(self, until_s: float) -> None:
        wait_s = min(_AGAIN_S, max(0.0, until_s - time.monotonic()))
        if not self._flying:
            time.sleep(wait_s)
            return
        for connection in select.select(list(self._flying), [], [], wait_s)[0]:
            self._receive(connection)
        now_s = time.monotonic()
        late = [one for one, flight in self._flying.items() if now_s - flight.due_s > GIVE_UP_S]
        for connection in late:
            self.tally.failed += 1
            self.tally.complain(f"{self._flying[connection].worker} did not answer in time")
            self._land(connection).close()

    def _receive(self, connection: socket.socket) -> None:
        flight = self._flying[connection]
        try:
            data = connection.recv(1 << 16)
        except OSError:
            data = b""
        if not data:  # its worker is gone
            self._land(connection).close()
            self.tally.retried += 1
            self._send(flight)
            return
        flight.got += data
        if len(flight.got) >= 4 and len(flight.got) == 4 + int.from_bytes(flight.got[:4], "little"):
            self.tally.latencies_s.append(time.monotonic() - flight.due_s)
            self.tally.due_s.append(flight.due_s)
            self._answers.append((flight.worker, flight.question, bytes(flight.got[4:])))
            self._idle[flight.worker].append(self._land(connection))

    def _land(self, connection: socket.socket) -> socket.socket:
        self._count[self._flying.pop(connection).worker] -= 1
        return connection

    def _check(self) -> None:
        kind = len(self._phase.questions)
        for worker, question, data in self._answers:
            try:
                answer = Answer.decode(data)
            except MalformedFrame as error:
                self.tally.wrong += 1
                self.tally.complain(f"{worker} answered {error}")
                continue
            key = (answer.generation, answer.choice)
            first = self.tally.first_ns.get((worker, key), answer.answered_ns)
            self.tally.first_ns[worker, key] = min(first, answer.answered_ns)
            self.tally.claims.add((key, answer.number))
            number, vectors = self._references.get(answer.digest, (0, []))
            meant = next((one for one in vectors if len(one) == kind), None)
            if number != answer.number or meant is None or not same(answer.vector, meant[question]):
                self.tally.wrong += 1
                self.tally.complain(f"{worker} did not answer as version {answer.number}")


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(1.0)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def percentiles_ms(latencies_s: list[float], name: str) -> dict[str, Any]:
    if not latencies_s:
        return {}
    p50, p99, p999 = np.percentile(latencies_s, [50, 99, 99.9]) * 1e3
    said = {"p50": p50, "p99": p99, "p999": p999, "max": max(latencies_s) * 1e3}
    return {f"{which}_{name}_ms": round(float(value), 2) for which, value in said.items()}
