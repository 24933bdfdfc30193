"""What is told of single workers: those that hold a flip back first, a bounded number."""

from __future__ import annotations

from collections.abc import Iterable

from cachd.serve.flip_rules import FlipRules
from cachd.serve.limits import WORKER_ERROR_CHARS_MAX, WORKERS_TOLD_MAX
from cachd.serve.preparation import how_far, why_late
from cachd.serve.resident import WorkerProgress
from cachd.serve.worker_connection import WorkerConnection

_ORDER = ("failed", "late", "loading", "untold", "ready")


def progress_of(
    workers: Iterable[WorkerConnection], handle: int, rules: FlipRules, now_s: float
) -> tuple[WorkerProgress, ...]:
    """How far each is with one version, the most troubled first."""
    found = [_one(worker, handle, rules, now_s) for worker in workers]
    found.sort(key=lambda one: (_ORDER.index(one.state), -one.seconds, one.pid))
    return tuple(found[:WORKERS_TOLD_MAX])


def trouble_of(
    workers: Iterable[WorkerConnection], handle: int, rules: FlipRules, now_s: float
) -> str | None:
    """Of one that could not load the version, else of one that is late."""
    far = [(worker, how_far(worker, handle, rules, now_s)) for worker in workers]
    for wanted in ("failed", "late"):
        for worker, state in far:
            if state == wanted:
                return f"worker {worker.pid}: {why_late(worker, handle, rules)}"
    return None


def _one(worker: WorkerConnection, handle: int, rules: FlipRules, now_s: float) -> WorkerProgress:
    state = how_far(worker, handle, rules, now_s)
    told_s = worker.told_s.get(handle, now_s)
    seconds = worker.took_s.get(handle, 0.0) if state == "ready" else now_s - told_s
    error = worker.errors.get(handle, "")
    if state == "late":
        error = why_late(worker, handle, rules)
    return WorkerProgress(
        worker.pid, state, round(max(0.0, seconds), 3), worker.flip, error[:WORKER_ERROR_CHARS_MAX]
    )
