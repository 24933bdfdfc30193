"""How much of the time bulk work goes on, while requests are answered beside it.

Niceness decides who goes first where two want a processor; on a host of few processors that is not
always enough (ADR 23). So a thread that copies, hashes or populates can rest after each piece. The
rest is a multiple of the time that the piece took: the busier disk and processors are, the longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from cachd import limits


class Pace:
    """Each thread works `share` of the time (above 0, at most 1), while `beside_requests` says so.
    Any thread may call. Who holds a lock while it rests lets others rest with it."""

    def __init__(
        self, share: float = 1.0, beside_requests: Callable[[], bool] = lambda: True
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"a share of the time is above 0 and at most 1, not {share}")
        self._rest_per_work: Final = 1 / share - 1
        self._beside_requests = beside_requests

    @property
    def rests(self) -> bool:
        """Whether bulk work is to be slow now."""
        return self._rest_per_work > 0 and self._beside_requests()

    def rest(self, worked_s: float) -> float:
        """After a piece that took so long; the seconds that went by."""
        if not self.rests:
            return 0.0
        began_s = time.monotonic()
        time.sleep(min(worked_s * self._rest_per_work, limits.BULK_REST_S_MAX))
        return time.monotonic() - began_s

    def piece(self) -> AbstractContextManager[None]:
        """A piece of work, and the rest after it; none after one that failed."""
        return followed_by(self.rest)


@contextmanager
def followed_by(rest: Callable[[float], float]) -> Iterator[None]:
    """A piece of work, and then a `rest` that is told how many seconds it took."""
    began_s = time.monotonic()
    yield
    rest(time.monotonic() - began_s)


UNPACED: Final = Pace()
