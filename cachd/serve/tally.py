"""What this process observed of the requests that one version answered, until the daemon is told.

`observe` is on the path of every request: one append to a deque, which is atomic and needs no lock
(so it may run in a signal handler or a finalizer). What has piled up is folded into counts by the
link's thread, each second, or by the request that finds FOLD_AT of them.
Bounds: while one thread folds, others append, so a deque stays near FOLD_AT whatever the load.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque

from cachd.serve.from_worker import Answered, Requests
from cachd.serve.latency import BOUNDS_US, BUCKETS
from cachd.serve.limits import FOLD_AT, OBSERVED_S_MAX, VERSIONS_TOLD_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Tally:
    """Of one handle."""

    __slots__ = ("_buckets", "_failed", "_failures", "_lock", "_ns", "_successes", "handle")

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._successes: deque[float] = deque()
        self._failures: deque[float] = deque()
        self._lock = threading.Lock()  # guards the counts; nobody waits for it but the link
        self._buckets = [0] * BUCKETS
        self._failed = 0
        self._ns = 0

    def observe(self, ok: bool, seconds: float) -> None:
        seen = self._successes if ok else self._failures
        seen.append(seconds + 0.0)  # TypeError here, in the caller, for what is no number
        if len(seen) >= FOLD_AT and self._lock.acquire(blocking=False):
            try:
                self._fold()
            finally:
                self._lock.release()

    def take(self) -> Answered | None:
        """What has come in since the last call; None if nothing has."""
        with self._lock:
            self._fold()
            if not any(self._buckets):
                return None
            us, self._ns = divmod(self._ns, 1000)
            buckets = {index: count for index, count in enumerate(self._buckets) if count}
            taken = Answered(self.handle, self._failed, us, buckets)
            self._buckets, self._failed = [0] * BUCKETS, 0
            return taken

    def _fold(self) -> None:
        self._failed += self._count(self._failures)
        self._count(self._successes)

    def _count(self, seen: deque[float]) -> int:
        """How many there were."""
        buckets, total_s, waiting = self._buckets, 0.0, len(seen)
        for _ in range(waiting):
            seconds = seen.popleft()
            if not 0.0 <= seconds < OBSERVED_S_MAX:
                # A clock that was set back gives less than nothing, and NaN compares with nothing.
                seconds = OBSERVED_S_MAX if seconds > 0 else 0.0
            buckets[bisect_left(BOUNDS_US, seconds * 1e6)] += 1
            total_s += seconds
        self._ns += round(total_s * 1e9)
        return waiting


class Tallies:
    """Of one attachment. `begun`: something was observed, so there is something to look for."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.begun = False
        self._wake = wake
        self._of: dict[int, Tally] = {}

    def of(self, handle: int) -> Tally:
        """The handle's tally; from any thread, once per loaded version."""
        tally = self._of.setdefault(handle, Tally(handle))
        if not self.begun:
            self.begun = True
            self._wake()  # the link, which has waited without a clock until now
        return tally

    def take(self, live: Callable[[int], bool]) -> list[Requests]:
        """Messages with all that is new, of the link's thread. Handles that are not `live` any
        more cannot be observed again: they are forgotten once they are told."""
        found = []
        for handle, tally in list(self._of.items()):
            lives = live(handle)  # before it is taken: what comes in meanwhile is of a live one
            answered = tally.take()
            if answered is not None:
                found.append(answered)
            elif not lives:
                del self._of[handle]
        return [
            Requests(found[start : start + VERSIONS_TOLD_MAX])
            for start in range(0, len(found), VERSIONS_TOLD_MAX)
        ]
