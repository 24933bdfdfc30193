"""What one fetch receives through: the node's limit, the pace of what is stored, and the event that
ends its waiting; and how little a transfer may bring, where many share the link, and not be taken
for dead.

Time that a receiver waits for its own limit, or rests, says nothing of the sender, so it is told
apart. Any thread may call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from cachd import limits
from cachd.cache.pace import UNPACED, Pace, followed_by
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.errors import PeerUnreachable


class Intake:
    """`held_up_s`: when the limit or the pace last made bytes wait; 0 if they never did.
    `followed`: how many peers may be pushing, each of them to as many."""

    def __init__(
        self,
        bulk: BulkPath = UNBOUNDED,
        stopping: threading.Event | None = None,
        pace: Pace = UNPACED,
    ) -> None:
        self._pace = pace
        self._limit = bulk.download
        self.congestion = bulk.congestion
        self._stopping = stopping or threading.Event()
        self.held_up_s = 0.0
        self.followed = 0
        self._lock = threading.Lock()  # guards _under_way
        self._under_way = 0

    @property
    def least_bytes(self) -> int:
        """What a transfer that was asked for must bring within limits.PROGRESS_WINDOW_S."""
        return _share(self._under_way)

    @property
    def least_pushed_bytes(self) -> int:
        """The same of a push, which shares the sender's link as well."""
        return _share(max(self._under_way, self.followed))

    def step_bytes(self, most: int) -> int:
        return self._limit.step_bytes(most)

    def take(self, count: int) -> float:
        """`count` bytes of a step have come; seconds for which the limit held them up."""
        waited_s = self._limit.take(count, self._stopping)
        if waited_s:
            self.held_up_s = time.monotonic()
        return waited_s

    def rest(self, worked_s: float) -> float:
        """A piece was stored, which took so long; seconds for which the pace holds up the next."""
        rested_s = self._pace.rest(worked_s)
        if rested_s:
            self.held_up_s = time.monotonic()
        return rested_s

    def piece(self) -> AbstractContextManager[None]:
        """A piece is stored, and the rest after it; none after one that failed."""
        return followed_by(self.rest)

    def take_all(self, count: int) -> None:
        """The same for what comes in one piece: booked in steps, so that others take turns."""
        step = self.step_bytes(count)
        while count > 0 and not self._stopping.is_set():
            self.take(min(step, count))
            count -= step

    @contextlib.contextmanager
    def transfer(self) -> Iterator[None]:
        """One chunk on its way, once there is room for it under the limit. PeerUnreachable when the
        fetch is stopped before."""
        while not self.try_begin(limits.TRANSFER_WAIT_S):
            if self._stopping.is_set():
                raise PeerUnreachable("the fetch is being stopped")
        try:
            yield
        finally:
            self.end()

    def try_begin(self, timeout_s: float = 0.0) -> bool:
        """Whether one more chunk may be on its way; then `end`."""
        if not self._limit.try_begin(timeout_s):
            self.held_up_s = time.monotonic()
            return False
        self._count(1)
        return True

    def end(self) -> None:
        self._count(-1)
        self._limit.end()

    def _count(self, more: int) -> None:
        with self._lock:
            self._under_way += more


def _share(transfers: int) -> int:
    few = limits.PROGRESS_TRANSFERS
    return limits.PROGRESS_BYTES_MIN * few // max(few, transfers)
