"""What is late: learned from how long the same took before. Pure."""

from __future__ import annotations

import math
from collections import deque

_SAMPLES, _SAMPLES_MIN = 64, 8


class Lateness:
    """Late is what takes `factor` times as long as nine in ten of the last ones took, and `more_s`,
    or `most_s` if that is less. Until there are enough to tell, the asker says how long."""

    def __init__(self, factor: float, more_s: float, most_s: float) -> None:
        self._factor = factor
        self._more_s = more_s
        self._most_s = most_s
        self._taken_s: deque[float] = deque(maxlen=_SAMPLES)
        self._held_up_s = -math.inf
        self._after_s: float | None = None

    def held_up(self, until_s: float) -> None:
        """This node's own limit made what comes wait until then: to ask again would not help."""
        self._held_up_s = until_s

    def after_s(self, until_known_s: float) -> float:
        """What takes longer is late."""
        return until_known_s if self._after_s is None else self._after_s

    def began_before_s(self, now_s: float, until_known_s: float) -> float:
        """What began before this time is late."""
        late_s = now_s - self.after_s(until_known_s)
        return late_s if self._held_up_s < late_s else -math.inf

    def took(self, seconds: float) -> None:
        self._taken_s.append(seconds)
        if len(self._taken_s) >= _SAMPLES_MIN:
            ninth = sorted(self._taken_s)[len(self._taken_s) * 9 // 10]
            self._after_s = min(self._most_s, self._factor * ninth + self._more_s)
