"""Flips to versions that the node does not have, one after the other."""

from __future__ import annotations

import random
import socket
import statistics
import time
from dataclasses import dataclass
from typing import Any

from bench._progress import Progress
from bench.flip.stolen import Stolen
from bench.flip.system import NODE, REF, System
from bench.flip.versions import VERSIONS
from registry_core.registry import Registry

_ROLLBACK_PAUSE_S = 0.05
_KILL_WORKER_S, _KILL_DAEMON_S = 1.0, 5.0
_FLIP_S = 0.5
_SETTLE_S = 1.0  # a flip leaves a version to drop, and bytes on their way to the disk


def next_version(system: System) -> int:
    """Of four, the one that was longest away: current, previous and one more are in the cache."""
    now = system.in_force[max(system.in_force)]
    return now % VERSIONS + 1


@dataclass(frozen=True, slots=True)
class Flipped:
    """`bringing_s`, `switching_s`: from promote to resident, and on to the last worker's switch;
    `resting_s`: between flips. All on the monotonic clock."""

    figures: dict[str, Any]
    resting_s: list[tuple[float, float]]
    bringing_s: list[tuple[float, float]]
    switching_s: list[tuple[float, float]]


def flip(
    system: System, registry: Registry, flips: int, rest_s: float, progress: Progress
) -> Flipped:
    """Rest, promote, wait for the last worker, and again."""
    took_ms, fetched, resident_ms = [], [], []
    resting_s, bringing_s, switching_s = [], [], []
    quiet, busy = Stolen(), Stolen()
    for done in range(1, flips + 1):
        if rest_s:
            with quiet.during():
                resting_s.append(rest(rest_s))
        began_ns = time.monotonic_ns()
        with busy.during():
            stage = system.note(registry.promote(str(REF), next_version(system)))
            report = system.wait_switched(stage)
        if report is None:
            raise RuntimeError(f"no flip to {stage.guard} in time{system.fleet.tail(NODE)}")
        took_ms.append((report.switched_ns - began_ns) / 1e6)
        resident_ms.append((system.resident_ns - began_ns) / 1e6)
        fetched.append(report.bytes_from_origin)
        bringing_s.append((began_ns / 1e9, system.resident_ns / 1e9))
        switching_s.append((system.resident_ns / 1e9, report.switched_ns / 1e9))
        progress.step(f"{done} of {flips} flips")
    figures = {
        "promote_to_last_worker_ms": round(statistics.median(took_ms), 1),
        "promote_to_last_worker_ms_max": round(max(took_ms), 1),
        "promote_to_resident_ms": round(statistics.median(resident_ms), 1),
        "fetched_bytes_per_flip": round(statistics.median(fetched)),
        "flips": flips,
        "stolen_busy": round(busy.share, 4),
    }
    if rest_s:
        figures["stolen_quiet"] = round(quiet.share, 4)
    return Flipped(figures, resting_s, bringing_s, switching_s)


def rest(seconds: float) -> tuple[float, float]:
    """Let what was before settle, then as long of quiet; from when to when."""
    time.sleep(_SETTLE_S)
    began_s = time.monotonic()
    time.sleep(seconds)
    return began_s, time.monotonic()


@dataclass(frozen=True, slots=True)
class Rolled:
    """One rollback: its guard, when the node heard of it, and from then to the host's flip and to
    the last worker's switch."""

    key: tuple[int, int]
    received_ns: int
    flip_ms: float
    switch_ms: float


def roll(system: System, registry: Registry, times: int, progress: Progress) -> list[Rolled]:
    rolled = []
    for done in range(1, times + 1):
        stage = system.note(registry.rollback(str(REF)))
        report = system.wait_switched(stage)
        if report is None or report.flip_ms is None or report.switch_ms is None:
            raise RuntimeError(f"no rollback to {stage.guard} in time{system.fleet.tail(NODE)}")
        key = (stage.guard.generation, stage.guard.choice)
        rolled.append(Rolled(key, report.received_ns, report.flip_ms, report.switch_ms))
        progress.step(f"{done} of {times} rollbacks")
        time.sleep(_ROLLBACK_PAUSE_S)
    return rolled


def kill(
    system: System, registry: Registry, seconds: float, rng: random.Random, progress: Progress
) -> dict[str, int]:
    """SIGKILL a worker every second and the daemon every five, and flip and roll back meanwhile.

    No worker is killed while another is still starting: somebody is to be asked."""
    end_s = time.monotonic() + seconds
    worker_s, daemon_s, flip_s = (time.monotonic() + one for one in (1.0, _KILL_DAEMON_S, 0.0))
    counted = {"worker_kills": 0, "daemon_kills": 0, "flips_with_kills": 0}
    while (now_s := time.monotonic()) < end_s:
        if now_s >= worker_s and all(map(_answers, system.sockets().values())):
            worker = rng.choice(system.workers)
            system.fleet.kill(worker)
            system.start_worker(worker)
            counted["worker_kills"] += 1
            worker_s = now_s + _KILL_WORKER_S
        if now_s >= daemon_s:
            system.fleet.kill(NODE)
            system.start_node()
            counted["daemon_kills"] += 1
            daemon_s += _KILL_DAEMON_S
        if now_s >= flip_s:
            if rng.random() < 0.5:
                system.note(registry.rollback(str(REF)))
            else:
                system.note(registry.promote(str(REF), next_version(system)))
            counted["flips_with_kills"] += 1
            flip_s += _FLIP_S
            progress.step(
                f"{counted['worker_kills']} workers and {counted['daemon_kills']} daemons killed, "
                f"{counted['flips_with_kills']} flips"
            )
        time.sleep(0.02)
    return counted


def _answers(path: str) -> bool:
    """The worker's file outlives it, its listener does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
