"""How bulk bytes stand back behind whatever else runs on the host."""

from __future__ import annotations

import os
import threading

BULK_NICENESS = 19
"""A thread counts for a seventieth of one that answers requests, where both want a processor. Less
(SCHED_IDLE) would let one that holds the interpreter stop the loop that flips for seconds on a
machine that is never idle: measured, it was 30 s."""


def yield_to_others(niceness: int = BULK_NICENESS) -> None:
    """For threads that move or hash bulk bytes, and all that they start: Linux keeps niceness per
    thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
