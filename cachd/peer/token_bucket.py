"""A token bucket that books ahead: who asks is told how long to wait, and waits once.

The virtual scheduling form of the leaky bucket (ITU-T I.371, annex A: generic cell rate algorithm).
Bookings are in the order in which they are made, so threads that book small steps take turns.
Nothing here waits or does I/O; the clock is an argument. Any thread may call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class TokenBucket:
    """In any time t at most `bytes_per_s` * (t + `burst_s`) bytes may move."""

    def __init__(self, bytes_per_s: float, burst_s: float, clock: Callable[[], float]) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_s
        self._clock = clock
        self._lock = threading.Lock()  # guards _paid_s
        self._paid_s = clock() - burst_s
        """When all that is booked will have been paid for."""

    def book(self, count: int) -> float:
        """Book `count` bytes behind all that is booked; seconds to wait before they move."""
        with self._lock:
            now_s = self._clock()
            self._paid_s = max(self._paid_s, now_s - self._burst_s) + count / self._bytes_per_s
            return max(0.0, self._paid_s - now_s)
