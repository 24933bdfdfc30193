"""Group commit: whoever waits for the disk lets others join the next commit.

A caller puts its work into the queue and takes its turn at the one writer. The first to get the
turn runs all that has queued up, in order and in one transaction; the others find theirs done. So
a commit's cost (fsync, checkpoint signature, PostgreSQL's round trips) is shared by as many as
arrive while the one before is on its way (Gawlick & Kinkade, "Varieties of Concurrency Control in
IMS/VS Fast Path", 1985).

Threads: `run` from any. Work that raises fails alone; a commit that fails, fails for all in it,
those that were refused included, since what they were refused by was never committed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Ticket(Generic[D, T]):
    """One caller's work and how it ended."""

    def __init__(self, work: Callable[[D], T]) -> None:
        self.work = work
        self.ended = False
        self.error: BaseException | None = None
        self._made: T | None = None

    def attempt(self, draft: D) -> bool:
        """Do the work; whether it made something to commit."""
        try:
            self._made = self.work(draft)
        except Exception as error:  # whatever it is, it is the caller's to handle
            self.error = error
            return False
        return True

    def end(self, failure: BaseException | None) -> None:
        if failure is not None:  # also for who was refused: by a state that never came to be
            self.error = failure
        self.ended = True

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._made  # type: ignore[return-value]  # ended without an error: it was made


class CommitQueue(Generic[D]):
    """`commit` runs tickets' work in one transaction and returns when it is durable."""

    def __init__(
        self, commit: Callable[[Sequence[Ticket[D, object]]], None], batch_max: int
    ) -> None:
        self._commit = commit
        self._batch_max = batch_max
        self._queue_lock = threading.Lock()  # guards _waiting
        self._waiting: deque[Ticket[D, object]] = deque()
        self._turn = threading.Lock()  # held by whoever commits

    def run(self, work: Callable[[D], T]) -> T:
        """What `work` returned, once that is durable; or what it, or the commit, raised."""
        ticket: Ticket[D, T] = Ticket(work)
        with self._queue_lock:
            self._waiting.append(ticket)  # type: ignore[arg-type]  # T varies within a batch
        while not ticket.ended:
            with self._turn:
                if not ticket.ended:
                    self._commit_next()
        return ticket.result()

    def _commit_next(self) -> None:
        with self._queue_lock:
            count = min(len(self._waiting), self._batch_max)
            batch = [self._waiting.popleft() for _ in range(count)]
        failure: BaseException | None = None
        try:
            self._commit(batch)
        except BaseException as error:  # raised in each caller's thread
            failure = error
        for ticket in batch:
            ticket.end(failure)
