"""Reads, writes and searches of both systems, in turns, at two sizes."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.registry.cachd_system import CachdSystem, cachd_system
from bench.registry.deploy_window import deploy_window
from bench.registry.in_process import percentiles, raw_writer
from bench.registry.mlflow_system import MlflowSystem, available, mlflow_system
from bench.registry.races import race
from bench.registry.systems import TEAMS, Size, System

PROMOTERS = 16
_WARM_UP = 20


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    folder.mkdir()
    if not available():
        sys.exit("MLflow is not installed beside: run `make bench-setup` first")
    small, large = (
        Size(options.models, options.versions),
        Size(options.models, options.large),
    )
    figures = _at(folder / "small", small, options, "")
    return figures | _at(folder / "large", large, options, f"_{large.total // 1000}k")


def _at(folder: Path, size: Size, options: argparse.Namespace, suffix: str) -> dict[str, Any]:
    """All figures at one size; their names end with `suffix`."""
    folder.mkdir()
    rng = random.Random(options.seed)
    count: int = options.requests
    with ExitStack() as stack:
        ours = stack.enter_context(cachd_system(folder / "cachd", size, count + _WARM_UP))
        theirs = stack.enter_context(mlflow_system(folder / "mlflow", size))
        _, raw = raw_writer(folder / "raw")
        taken = _measure((ours, theirs), size, count, raw, rng)
        figures = _shown(taken, suffix)
        if not suffix:
            for system in (ours, theirs):
                prefix = "" if system is ours else "mlflow_"
                figures |= {prefix + k: v for k, v in race(system, size, PROMOTERS, rng).items()}
            figures |= deploy_window(ours, size, rng)
    return figures


def _measure(
    systems: tuple[CachdSystem, MlflowSystem],
    size: Size,
    count: int,
    raw: Callable[[], None],
    rng: random.Random,
) -> dict[str, list[float]]:
    """Seconds of each request by what it was; warm-up requests are left out."""
    taken: dict[str, list[float]] = {}
    for turn in range(count + _WARM_UP):
        model, version = rng.randrange(size.models), rng.randrange(size.versions) + 1
        creating = size.name(turn % size.models)  # as the prepared versions are laid out
        work: list[tuple[str, Callable[[], object]]] = [("fdatasync", raw)]
        for system in systems:
            if isinstance(system, CachdSystem):
                now = system.read(size.name(model))
                version = version if version != now else version % size.versions + 1
                system.prepare_stage(size.name(model), version)
            work += _requests(system, size, model, version, creating, rng)
        rng.shuffle(work)
        for name, act in work:
            began_s = time.perf_counter()
            act()
            if turn >= _WARM_UP:
                taken.setdefault(name, []).append(time.perf_counter() - began_s)
    return taken


def _requests(
    system: System, size: Size, model: int, version: int, creating: str, rng: random.Random
) -> list[tuple[str, Callable[[], object]]]:
    prefix = "" if system.name == "cachd" else "mlflow_"
    reading, team = size.name(rng.randrange(size.models)), f"team-{rng.randrange(TEAMS)}"
    return [
        (f"{prefix}http_read", lambda: system.read(reading)),
        (f"{prefix}create_version", lambda: system.create_version(creating)),
        (f"{prefix}set_stage", lambda: system.set_stage(size.name(model), version)),
        (f"{prefix}search", lambda: system.search(team)),
    ]


def _shown(taken: dict[str, list[float]], suffix: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, seconds in sorted(taken.items()):
        for percent, value in percentiles(seconds, 1e3).items():
            figures[f"{name}_p{percent}_ms{suffix}"] = value
    figures[f"write_bar_ms{suffix}"] = round(2 * figures[f"fdatasync_p95_ms{suffix}"] + 1, 3)
    return figures
