"""PURE: may the prepared version be put in force now?

Rules, in order
1. `free` (a rollback; a version that was in force before and is still kept; or nothing is in
   force): at once. A rollback waits for nobody, least of all for a worker that hangs, and where
   nothing is served nothing is to be protected. Whoever lacks the version goes on as before until
   it is loaded there.
2. No workers: nobody to wait for; unless some ended over this version, which then waits for the
   first deadline.
3. The policy. Past the first deadline those that ended and did not come back are not waited for.
     all      every worker is ready. One that failed or is late holds it back. One that came in the
              middle is waited for, too, but only until a second deadline: workers that come and
              go must not keep a version out for ever
     quorum   this share of them is ready; held back once it cannot be reached, or only by late ones
     timeout  as all, but those that are ready at the deadline do not wait for those that are not
4. Whatever the policy, a version over which WORKER_DEATHS_MAX workers ended stays out, unless a
   quorum has it loaded.
A version that nobody has managed to load stays out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from cachd.serve.limits import WORKER_DEATHS_MAX

Verdict = Literal["flip", "wait", "load-failed", "load-late", "workers-died"]
Kind = Literal["all", "quorum", "timeout"]

_QUORUM = re.compile(r"quorum:(?:(\d{1,3}(?:\.\d{1,6})?)%|([01](?:\.\d{1,9})?))")


@dataclass(frozen=True, slots=True)
class FlipPolicy:
    """`share`: of a quorum, above 0 and at most 1."""

    kind: Kind = "all"
    share: Fraction = Fraction(1)

    @classmethod
    def parse(cls, text: str) -> FlipPolicy:
        """ValueError says what can be written."""
        if text == "all":
            return cls("all")
        if text == "timeout":
            return cls("timeout")
        found = _QUORUM.fullmatch(text)
        share = _share(found) if found else Fraction(0)
        if not 0 < share <= 1:
            raise ValueError(
                f"{text!r:.80} is no flip policy: all, timeout, or quorum:SHARE, a share above 0 "
                "and up to 1, such as quorum:80% or quorum:0.8"
            )
        return cls("quorum", share)

    def __str__(self) -> str:
        return f"quorum:{float(self.share * 100):g}%" if self.kind == "quorum" else self.kind

    def needed(self, workers: int) -> int:
        return max(1, math.ceil(self.share * workers))


ALL = FlipPolicy()


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of one model@stage, by how far they are with one version.

    loading  within their time, or not told yet    late     past it, and may be ready yet
    missing  ended before they were ready, and did not come back
    died     so many ended while they loaded it, come back or not
    """

    ready: int = 0
    failed: int = 0
    late: int = 0
    loading: int = 0
    missing: int = 0
    died: int = 0

    @property
    def live(self) -> int:
        return self.ready + self.failed + self.late + self.loading


def decide(policy: FlipPolicy, workers: Workers, *, free: bool, deadlines: int) -> Verdict:
    """`deadlines`: how many have passed since workers were first told, 0, 1, or 2 for more."""
    missing = workers.missing if deadlines == 0 else 0
    if free:
        return "flip"
    if policy.kind == "quorum" and workers.live:
        verdict = _by_quorum(policy.needed(workers.live + missing), workers, missing)
        if verdict == "flip":
            return verdict
    else:
        verdict = _by_all(workers, missing, deadlines, late_hold=policy.kind == "all")
    return "workers-died" if workers.died >= WORKER_DEATHS_MAX else verdict


def _by_quorum(needed: int, workers: Workers, missing: int) -> Verdict:
    if workers.ready >= needed:
        return "flip"
    soon = workers.ready + workers.loading + missing
    if soon >= needed:
        return "wait"
    return "load-late" if soon + workers.late >= needed else "load-failed"


def _by_all(workers: Workers, missing: int, deadlines: int, *, late_hold: bool) -> Verdict:
    if not workers.live:
        return "wait" if missing else "flip"
    if workers.failed:
        return "load-failed"
    if workers.late and (late_hold or not workers.ready):
        return "load-late"
    if not (workers.loading or missing):
        return "flip"
    ahead_of_others = deadlines >= (2 if late_hold else 1)
    return "flip" if ahead_of_others and workers.ready else "wait"


def _share(found: re.Match[str]) -> Fraction:
    percent, fraction = found.groups()
    return Fraction(percent) / 100 if percent else Fraction(fraction)
