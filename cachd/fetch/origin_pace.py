"""How many chunks to ask the origin for at once: fewer when it cannot keep up. Pure.

Additive increase, multiplicative decrease (Chiu and Jain, 1989; TCP's rule, RFC 5681): halved when
the origin says that it is busy, times out or fails, and one more after as many successes as are
asked for at once. What a region asks for together is the planner's matter; this only takes away.

A node that fetches alone asks for several neighbours in one request, to pay for the origin's
latency once. Others may begin at any moment, and would wait for all that it has asked for: so it
asks for twice as many only while that takes hardly longer than one.
"""

from __future__ import annotations

import math

from cachd import limits


class OriginPace:
    """Of one fetch, from `most` down to 1 and up again. `run`: neighbours in one request of a node
    that others may join, from 1 on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_once = float(most)
        self._single_s = math.inf
        self.run = 1

    @property
    def at_once(self) -> int:
        return int(self._at_once)

    @property
    def slowed(self) -> bool:
        """Whether it is asked for less than at first."""
        return self._at_once < self._most

    def gave(self, together: int, seconds: float) -> None:
        """A chunk came, in a request for so many, which took so long."""
        self._at_once = min(self._most, self._at_once + 1 / self._at_once)
        if together == 1:
            self._single_s = min(self._single_s, seconds)
        if seconds <= self._single_s + limits.ORIGIN_RUN_S:
            self.run = max(self.run, 2 * together)
        else:
            self.run = max(1, min(self.run, together // 2))

    def slow_down(self, in_flight: int) -> None:
        """The origin did not keep up with so many; say so once for all that failed together."""
        self._at_once = max(1.0, min(self._at_once, in_flight) / 2)
