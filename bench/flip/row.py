"""All phases with one number of workers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bench._progress import Progress
from bench.flip import flipping, plain_copy, usual
from bench.flip.load_process import LoadProcess
from bench.flip.open_loop import Phase, Tally, percentiles_ms
from bench.flip.system import System
from bench.flip.versions import Versions
from cachctl.demo.fleet import Fleet

_CAPACITY_S = 4.0
_ROLLBACKS = 20
_ROOM = 3.4
"""Versions that the cache has room for: current, previous, next and what is cut of others."""


def measure(
    fleet: Fleet, folder: Path, versions: Versions, workers: int, options: argparse.Namespace,
    rng: random.Random,
) -> dict[str, Any]:  # fmt: skip
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    began = time.monotonic()
    progress = Progress(lambda: f"{workers} workers, {time.monotonic() - began:5.1f} s: ")
    system = System(fleet, folder, int(_ROOM * options.size), names, options.bulk_share)
    system.begin(versions)
    row: dict[str, Any] = {"workers": workers}
    tallies: list[Tally] = []
    with system.connect() as registry, LoadProcess(system.sockets(), system.references) as load:
        stage = registry.stages("m")[0]
        system.wait_switched(stage)
        progress.say("serving")
        flipping.flip(system, registry, 2, 0, progress)  # the cache is full from then on
        full = Phase(rng.randrange(1 << 32), versions.questions, at_once=max(4, workers))
        tally, _, took_s = load.during(full, lambda: time.sleep(_CAPACITY_S))
        capacity = len(tally.latencies_s) / took_s
        row |= {
            "capacity_per_s": round(capacity, 1),
            "load_per_s": round(capacity * options.load, 1),
        }
        phase = dataclasses.replace(full, per_second=capacity * options.load)
        progress.say(f"{capacity:.0f} a second is what they can do; {options.flips} flips")
        during, flipped, took_s = load.during(
            phase,
            lambda: flipping.flip(system, registry, options.flips, options.rest_s, progress),
        )
        row |= flipped.figures
        for name, spans_s in (
            ("quiet", flipped.resting_s),
            ("busy", sorted(flipped.bringing_s + flipped.switching_s)),
            ("bringing", flipped.bringing_s),
            ("switching", flipped.switching_s),
        ):
            row |= percentiles_ms(during.within(spans_s), name)
        row["flips_s"] = round(took_s, 1)
        row["busy_to_quiet"] = round(row["p99_busy_ms"] / row["p99_quiet_ms"], 3)
        progress.say("rollbacks")
        rolling, figures = _rollbacks(system, registry, load, versions, workers, progress)
        row |= figures
        tallies += [tally, during, rolling]
        if options.plain_copies:
            progress.say("plain copies")
            copied, figures = plain_copy.measure(
                folder, versions, load, phase, options.plain_copies, options.rest_s, progress
            )
            row |= figures
            tallies.append(copied)
        if options.kill_s:
            progress.say("kills")
            fewer = (
                (workers - 1) / workers if workers > 1 else 0.5
            )  # one is starting most of the time
            less = dataclasses.replace(phase, per_second=phase.per_second * fewer)
            killed, counted, _ = load.during(
                less,
                lambda: flipping.kill(system, registry, options.kill_s, rng, progress),
            )
            row |= counted | percentiles_ms(killed.latencies_s, "kills")
            tallies.append(killed)
    row |= _told(system, tallies)
    _end(fleet, names)
    if options.usual_flips and usual.fits(workers, options.size):
        progress.say("the usual way")
        print(json.dumps(row), file=sys.stderr, flush=True)  # whatever happens to the rest
        try:
            row |= usual.measure(
                fleet, folder, versions, names, phase, options.usual_flips, progress
            )
        except RuntimeError as error:
            row["usual_error"] = str(error)[-1000:]
    return row


def _rollbacks(
    system: System,
    registry: Any,
    load: LoadProcess,
    versions: Versions,
    workers: int,
    progress: Progress,
) -> tuple[Tally, dict[str, Any]]:
    """Workers asked all the time, the shortest question, half of the machine's time."""
    probes = Phase(
        0, [versions.probe], at_once=1, spread=True, wait_s=0.002 * workers / (os.cpu_count() or 1)
    )
    tally, rolled, _ = load.during(
        probes, lambda: flipping.roll(system, registry, _ROLLBACKS, progress)
    )
    answered_ms = [
        (max(tally.first_ns[worker, one.key] for worker in system.workers) - one.received_ns) / 1e6
        for one in rolled
        if all((worker, one.key) in tally.first_ns for worker in system.workers)
    ]
    flipped_ms, switched_ms = [one.flip_ms for one in rolled], [one.switch_ms for one in rolled]
    return tally, {
        "rollback_ms": round(statistics.median(answered_ms), 2),
        "rollback_ms_max": round(max(answered_ms), 2),
        "rollback_flip_ms": round(statistics.median(flipped_ms), 2),
        "rollback_flip_ms_max": round(max(flipped_ms), 2),
        "rollback_switch_ms": round(statistics.median(switched_ms), 2),
        "rollback_switch_ms_max": round(max(switched_ms), 2),
        "rollbacks": len(answered_ms),
    }


def _told(system: System, tallies: list[Tally]) -> dict[str, Any]:
    untrue = [
        f"version {number} under {key[0]}.{key[1]}, which stands for {system.in_force.get(key)}"
        for key, number in sorted(set().union(*(tally.claims for tally in tallies)))
        if system.in_force.get(key) != number
    ]
    return {
        "failed": sum(tally.failed for tally in tallies),
        "wrong": sum(tally.wrong for tally in tallies) + len(untrue),
        "retried": sum(tally.retried for tally in tallies),
        "requests": sum(len(tally.latencies_s) + tally.failed for tally in tallies),
        "complaints": [*untrue, *(said for tally in tallies for said in tally.complaints)][:10],
    }


def _end(fleet: Fleet, workers: list[str]) -> None:
    for name in [*workers, "node", "authority"]:
        fleet.kill(name)
