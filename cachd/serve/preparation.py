"""A target on its way into force: when workers are told of it, who is how far, who ended over it.

The daemon's clock judges beside the workers' own reports: a process that holds the interpreter's
lock, hangs or speaks an older protocol reports nothing, and is late all the same.
While another version serves, workers load in turns: those whose turn has not come answer requests
meanwhile with all of their processors, and a version over which workers end meets few of them.
Owned by the host's event loop; nothing here waits or sends.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

from cachd.serve.flip_policy import Verdict, Workers, decide
from cachd.serve.flip_rules import FlipRules
from cachd.serve.limits import LATE_SLACK_S, WORKER_DEATHS_MAX
from cachd.serve.resident import Target
from cachd.serve.worker_connection import WorkerConnection


@dataclass(slots=True)
class Preparation:
    """`begins_s`: workers are told of it from then on, so many `at_once`; 0: all. `told_reasons`:
    for which it was said to be held back."""

    target: Target
    handle: int
    rules: FlipRules
    begins_s: float
    at_once: int = 0
    told_reasons: set[Verdict] = field(default_factory=set)
    _begun_s: float | None = None
    _missing: int = 0
    _died_pids: list[int] = field(default_factory=list)
    _judged: tuple[Workers, int] | None = None

    def renewed(self, target: Target) -> Preparation:
        """The same version by another target: what is under way goes on. By another move it is
        tried anew."""
        before, self.target = self.target, target
        if (before.generation, before.choice) != (target.generation, target.choice):
            self.told_reasons = set()
            self._died_pids = []
        return self

    # Whom to tell

    def next_to_load(
        self, workers: Collection[WorkerConnection], now_s: float
    ) -> list[WorkerConnection]:
        """Whom to tell now; the first time starts the clock. One that is late has had its turn."""
        if now_s < self.begins_s or len(self._died_pids) >= WORKER_DEATHS_MAX:
            return []
        if self._begun_s is None:
            self._begun_s = now_s
        far = [(worker, how_far(worker, self.handle, self.rules, now_s)) for worker in workers]
        untold = [worker for worker, state in far if state == "untold"]
        if not self.at_once:
            return untold
        loading = sum(state == "loading" for _, state in far)
        return untold[: max(0, self.at_once - loading)]

    def begins_in_s(self, now_s: float) -> float:
        """0 once it has begun."""
        return max(0.0, self.begins_s - now_s) if self._begun_s is None else 0.0

    # Who comes and goes

    def joined(self, worker: WorkerConnection) -> None:
        """A worker came: perhaps in place of one that ended."""
        if worker.leases.get(self.handle) != "ready":
            self._missing = max(0, self._missing - 1)

    def left(self, worker: WorkerConnection) -> None:
        """A worker's socket ended. One that closes on purpose is not missed while it loads; one
        that failed is: or the failure would go with the process."""
        state = worker.leases.get(self.handle)
        dying = state in ("loading", "late") and not worker.leaving
        if dying:
            self._died_pids.append(worker.pid)
        if dying or state == "failed":
            self._missing += 1

    # How far it is

    def changed(
        self, workers: Collection[WorkerConnection], now_s: float, *, rejoining: bool
    ) -> bool:
        """Whether it would be judged by other figures than the last time."""
        counted = self._counted(workers, now_s, rejoining=rejoining)
        return (counted, self._deadlines(len(workers), now_s)) != self._judged

    def judge(
        self, workers: Collection[WorkerConnection], now_s: float, *, free: bool, rejoining: bool
    ) -> Verdict:
        """`rejoining`: the host has just started, and its workers may not be back yet."""
        counted = self._counted(workers, now_s, rejoining=rejoining)
        deadlines = self._deadlines(len(workers), now_s)
        self._judged = counted, deadlines
        return decide(self.rules.policy, counted, free=free, deadlines=deadlines)

    def why_died(self) -> str:
        pids = ", ".join(map(str, self._died_pids[-WORKER_DEATHS_MAX:]))
        return (
            f"{len(self._died_pids)} workers ended while they loaded it (processes {pids}): their "
            "logs say why, or the kernel's, if memory ran out. No other worker is told to load it; "
            "promote another version, or restart the node to try again"
        )

    def _counted(
        self, workers: Collection[WorkerConnection], now_s: float, *, rejoining: bool
    ) -> Workers:
        states = [how_far(worker, self.handle, self.rules, now_s) for worker in workers]
        return Workers(
            ready=states.count("ready"),
            failed=states.count("failed"),
            late=states.count("late"),
            loading=states.count("loading") + states.count("untold"),
            missing=self._missing + rejoining,
            died=len(self._died_pids),
        )

    def _deadlines(self, workers: int, now_s: float) -> int:
        if self._begun_s is None:
            return 0
        turns = math.ceil(max(1, workers) / self.at_once) if self.at_once else 1
        step_s = turns * (self.rules.ready_timeout_s + LATE_SLACK_S)
        return sum(now_s >= self._begun_s + count * step_s for count in (1, 2))


def how_far(worker: WorkerConnection, handle: int, rules: FlipRules, now_s: float) -> str:
    """untold, loading, late, ready or failed."""
    state = worker.leases.get(handle, "untold")
    late_s = worker.told_s.get(handle, now_s) + rules.ready_timeout_s + LATE_SLACK_S
    return "late" if state == "loading" and now_s >= late_s else state


def why_late(worker: WorkerConnection, handle: int, rules: FlipRules) -> str:
    """What the worker said, or that it has said nothing."""
    return worker.errors.get(handle) or (
        f"has not loaded it after {rules.ready_timeout_s:g} s, and says nothing"
    )
