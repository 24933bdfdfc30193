"""The buckets that request times are counted in, and what can be read from them. PURE.

Upper bounds are five to a decade (Renard's R5: each about 1.6 times the one before), 100 us to
63 s; the last bucket has no bound. They are part of the protocol: docs/FORMATS.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDS_US: tuple[int, ...] = tuple(
    step * 10**decade // 10 for decade in range(2, 8) for step in (10, 16, 25, 40, 63)
)
"""Microseconds; a request of just so many is in the bucket."""
BUCKETS = len(BOUNDS_US) + 1


def quantile_s(buckets: Sequence[int], share: float) -> float | None:
    """Seconds below which so large a share of the requests stayed: exact to its bucket, in which
    requests count as spread evenly. None without any request."""
    wanted: float = share * sum(buckets)
    below = 0
    if not wanted:
        return None
    for index, count in enumerate(buckets):
        if count and below + count >= wanted:
            low = BOUNDS_US[index - 1] if index else 0
            high = BOUNDS_US[index] if index < len(BOUNDS_US) else low
            return (low + (high - low) * (wanted - below) / count) / 1e6
        below += count
    return BOUNDS_US[-1] / 1e6
