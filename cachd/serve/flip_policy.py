"""PURE: may the prepared version be put in force now?

Rules, in order
1. A version that was in force before and is still kept goes back at once: a rollback waits for
   nobody. Whoever lacks it serves on until it is loaded.
2. Without workers there is nobody to wait for; unless there were some and they died over this
   version, which then waits for the deadline.
3. One worker that could not load it holds it back: the old version serves on.
4. All workers ready: now. Past the deadline the slow ones do not hold it back any longer, but
   a version that nobody has managed to load yet stays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["flip", "wait", "load-failed"]


@dataclass(frozen=True, slots=True)
class Workers:
    """The live workers of one model@stage, by how far they are with one handle."""

    total: int
    ready: int
    failed: int


def decide(workers: Workers, *, was_in_force: bool, had_workers: bool, overdue: bool) -> Verdict:
    if was_in_force:
        return "flip"
    if workers.total == 0:
        return "flip" if overdue or not had_workers else "wait"
    if workers.failed:
        return "load-failed"
    if workers.ready == workers.total or (overdue and workers.ready):
        return "flip"
    return "wait"
