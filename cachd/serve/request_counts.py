"""Requests as the workers of one model@stage have told of them, by version, in this daemon's life.

Counters only grow, and begin anew with the daemon, as Prometheus expects of counters. They are
what a rollout's gates read.
Bound: the VERSIONS_COUNTED_MAX versions that were told of last. Owned by the host's event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cachd.serve.from_worker import Answered
from cachd.serve.latency import BUCKETS, quantile_s
from cachd.serve.limits import VERSIONS_COUNTED_MAX


@dataclass(slots=True)
class VersionCounts:
    """`buckets` by `latency.BOUNDS_US`; their sum is the number of requests, `failed` of which
    were told as not ok. `us`: microseconds of all together."""

    number: int
    digest: str
    failed: int = 0
    us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    @property
    def requests(self) -> int:
        return sum(self.buckets)

    def quantile_ms(self, share: float) -> float | None:
        seconds = quantile_s(self.buckets, share)
        return None if seconds is None else seconds * 1000


class RequestCounts:
    """`all` are the versions, the one that was told of last at the end."""

    def __init__(self) -> None:
        self._by_number: dict[int, VersionCounts] = {}

    def add(self, number: int, digest: str, answered: Answered) -> None:
        counts = self._by_number.pop(number, None) or VersionCounts(number, digest)
        self._by_number[number] = counts
        counts.failed += answered.failed
        counts.us += answered.us
        for index, count in answered.buckets.items():
            counts.buckets[index] += count
        if len(self._by_number) > VERSIONS_COUNTED_MAX:
            del self._by_number[next(iter(self._by_number))]

    def all(self) -> list[VersionCounts]:
        return list(self._by_number.values())
