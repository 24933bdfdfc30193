"""How old a replica is: the time since somebody who knew said that it had all there was.

An authority knows at that moment; a relay passes on how long ago it knew. Event loop only.
"""

from __future__ import annotations

import time


class Freshness:
    """Of one replica, which is `age_s` old to begin with: by its checkpoint's time, the one place
    where a wall clock counts."""

    def __init__(self, ttl_s: float, age_s: float = 0.0) -> None:
        self.ttl_s = ttl_s
        self._known_s = time.monotonic() - age_s
        self.ever = False

    def heard(self, age_ms: int) -> None:
        """The source said that what it has sent was all there was so long ago."""
        self._known_s = max(self._known_s, time.monotonic() - age_ms / 1000)
        self.ever = True

    def age_s(self) -> float:
        return time.monotonic() - self._known_s

    def age_ms(self) -> int:
        return int(self.age_s() * 1000)

    @property
    def stale(self) -> bool:
        return self.age_s() > self.ttl_s
