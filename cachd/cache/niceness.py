"""How bulk bytes stand back behind whatever else runs on the host."""

from __future__ import annotations

import os
import threading

BULK_NICENESS = 10
"""A thread counts for a tenth of one that answers requests, where both want a processor. A thread
that holds the interpreter meanwhile keeps the loop that flips from it, so less is no gain: at 19 a
rollback once took 170 ms, and with SCHED_IDLE the loop stood still for 30 s on a busy machine
(ADR 18)."""


def yield_to_others(niceness: int = BULK_NICENESS) -> None:
    """For threads that move or hash bulk bytes, and all that they start: Linux keeps niceness per
    thread. One that stands back further already stays there: to come forward needs privileges."""
    thread = threading.get_native_id()
    niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, thread))
    os.setpriority(os.PRIO_PROCESS, thread, niceness)
