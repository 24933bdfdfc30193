"""Reads, writes and searches of both systems, in turns, at two sizes."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.registry.cachd_system import CachdSystem, cachd_system
from bench.registry.deploy_window import deploy_window
from bench.registry.floor import Floor, floor_system
from bench.registry.in_process import percentiles, raw_writer
from bench.registry.mlflow_system import MlflowSystem, available, mlflow_system
from bench.registry.races import race
from bench.registry.systems import TEAMS, Size, System

PROMOTERS = 16
ROUNDS = 8
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
        ours = stack.enter_context(cachd_system(folder / "cachd", size, count + _WARM_UP + ROUNDS))
        theirs = stack.enter_context(mlflow_system(folder / "mlflow", size))
        floor = stack.enter_context(floor_system(folder / "floor"))
        _, raw = raw_writer(folder / "raw")
        taken = _measure((ours, theirs), size, count, raw, floor, rng)
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
    floor: Floor,
    rng: random.Random,
) -> dict[str, list[float]]:
    """Seconds of each request by what it was. Requests of one kind to one system come in rows, as
    clients send them; which row is next is shuffled in each of ROUNDS rounds."""
    creates = iter(range(count + _WARM_UP + ROUNDS))
    kinds: dict[str, Callable[[], float]] = {
        "fdatasync": lambda: _timed(raw),
        "write_floor": lambda: _timed(floor.write),
    }
    for system in systems:
        prefix = "" if system.name == "cachd" else "mlflow_"
        kinds[f"{prefix}http_read"] = partial(_read, system, size, rng)
        kinds[f"{prefix}create_version"] = partial(_create, system, size, creates, rng)
        kinds[f"{prefix}set_stage"] = partial(_set_stage, system, size, rng)
        kinds[f"{prefix}search"] = partial(_search, system, rng)
    for act in kinds.values():
        for _ in range(_WARM_UP):
            act()
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(ROUNDS):
        for name in rng.sample(list(kinds), len(kinds)):
            kinds[name]()  # finds its way back into the caches
            taken[name] += [kinds[name]() for _ in range(count // ROUNDS)]
    return taken


def _timed(act: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


def _read(system: System, size: Size, rng: random.Random) -> float:
    name = size.name(rng.randrange(size.models))
    return _timed(lambda: system.read(name))


def _create(system: System, size: Size, creates: Iterator[int], rng: random.Random) -> float:
    """As the prepared versions are laid out; anywhere in the system that needs none."""
    number = next(creates) if isinstance(system, CachdSystem) else rng.randrange(size.models)
    return _timed(lambda: system.create_version(size.name(number % size.models)))


def _set_stage(system: System, size: Size, rng: random.Random) -> float:
    name = size.name(rng.randrange(size.models))
    version = system.read(name) % size.versions + 1
    if isinstance(system, CachdSystem):
        system.prepare_stage(name, version)
    return _timed(lambda: system.set_stage(name, version))


def _search(system: System, rng: random.Random) -> float:
    team = f"team-{rng.randrange(TEAMS)}"
    return _timed(lambda: system.search(team))


def _shown(taken: dict[str, list[float]], suffix: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, seconds in sorted(taken.items()):
        for percent, value in percentiles(seconds, 1e3).items():
            figures[f"{name}_p{percent}_ms{suffix}"] = value
    figures[f"write_bar_ms{suffix}"] = round(2 * figures[f"fdatasync_p95_ms{suffix}"] + 1, 3)
    return figures
