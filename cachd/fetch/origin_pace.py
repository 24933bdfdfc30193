"""How many chunks to ask the origin for at once: fewer when it cannot keep up. Pure.

Additive increase, multiplicative decrease (Chiu and Jain, 1989; TCP's rule, RFC 5681): halved when
the origin says that it is busy, times out or fails, and one more after as many successes as are
asked for at once. What a region asks for together is the planner's matter; this only takes away.
"""

from __future__ import annotations


class OriginPace:
    """Of one fetch, from `most` down to 1 and up again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_once = float(most)

    @property
    def at_once(self) -> int:
        return int(self._at_once)

    @property
    def slowed(self) -> bool:
        """Whether it is asked for less than at first."""
        return self._at_once < self._most

    def gave(self) -> None:
        """A chunk came."""
        self._at_once = min(self._most, self._at_once + 1 / self._at_once)

    def slow_down(self, in_flight: int) -> None:
        """The origin did not keep up with so many; say so once for all that failed together."""
        self._at_once = max(1.0, min(self._at_once, in_flight) / 2)
