"""Bounds on what clients may ask: how often, how much at once, and for how long.

A request beyond the rate of its client (by address) is answered 429 with Retry-After at once; one
beyond what the authority handles at a time, 503. Whoever sends its request too slowly, or asks
what takes too long, is cut off with 408 or 503. Log and event streams are bounded apart.
Event loop only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from cachd.control.limits import CLIENTS_REMEMBERED_MAX


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_s: float


class RateLimit:
    """A token bucket per client: `per_second` on average, `burst` at once. (Turner, "New directions
    in communications", 1986.) The least recently seen clients are forgotten first."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, client: str, now_s: float) -> int:
        """0 if the request may pass, else after how many whole seconds to try again."""
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = _Bucket(self._burst, now_s)
            if len(self._buckets) > CLIENTS_REMEMBERED_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client)
        grown = bucket.tokens + (now_s - bucket.filled_s) * self._per_second
        bucket.tokens, bucket.filled_s = min(grown, self._burst), now_s
        if bucket.tokens < 1:
            return math.ceil((1 - bucket.tokens) / self._per_second)
        bucket.tokens -= 1
        return 0
