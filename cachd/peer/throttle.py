"""A limit on the bytes of one direction, shared by all connections of a node.

Two things together keep a limited transfer from being taken for a dead one. Bytes move in steps of
at most 20 ms of the limit, in turn, so nobody stands still for long. And so few transfers are under
way at once that each keeps a share on which the other side's patience is set (cachd.limits).
Any thread may call. A wait ends early when the event it was given is set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cachd import limits
from cachd.peer.rate import Rate
from cachd.peer.token_bucket import TokenBucket
from registry_core.errors import InvalidInput


class Throttle:
    """`rate` None: no limit, and nothing waits. InvalidInput below the least that makes sense."""

    def __init__(
        self, rate: Rate | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = rate
        if rate is None:
            return
        if rate.bits_per_s < limits.RATE_BITS_MIN:
            raise InvalidInput(
                f"a limit of {rate} is too low: below {Rate(limits.RATE_BITS_MIN)} peers take this "
                "node for dead. Give more, or leave the limit out"
            )
        self._bucket = TokenBucket(rate.bytes_per_s, limits.RATE_BURST_S, clock)
        share = limits.TRANSFER_BYTES_PER_S_MIN
        self._places = threading.BoundedSemaphore(int(rate.bytes_per_s // share))

    @classmethod
    def parse(cls, text: str | None) -> Throttle:
        """Of a rate as it is typed; None: no limit."""
        return cls(Rate.parse(text) if text else None)

    def step_bytes(self, most: int) -> int:
        """How many bytes to move at once: `most`, or less where that would take long."""
        if self.rate is None:
            return most
        return min(most, int(self.rate.bytes_per_s * limits.RATE_STEP_S))

    def take(self, count: int, stop: threading.Event) -> float:
        """Wait until a step of `count` bytes may move; how many seconds that was to take."""
        if self.rate is None:
            return 0.0
        wait_s = self._bucket.book(count)
        if wait_s:
            stop.wait(wait_s)
        return wait_s

    def try_begin(self, timeout_s: float = 0.0) -> bool:
        """Whether one more transfer may be under way; then `end` it."""
        return self.rate is None or self._places.acquire(timeout=timeout_s)

    def end(self) -> None:
        if self.rate is not None:
            self._places.release()


UNLIMITED = Throttle()
