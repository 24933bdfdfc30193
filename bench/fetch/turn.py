"""One turn of one way: how long it took, and what it used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """`cpu_s` is what the receiving processes used; the senders' is not in it."""

    seconds: float
    cpu_s: float


Way = Callable[[], Turn]


def in_this_process(act: Callable[[], float]) -> Way:
    """A way that receives in threads of this process; `act` says how long it took."""

    def turn() -> Turn:
        began_s = time.process_time()
        return Turn(act(), time.process_time() - began_s)

    return turn
