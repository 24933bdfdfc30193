"""The usual way: a version is copied to the host, a symlink says which is meant, and each worker
looks at it now and then and loads a private copy while it serves."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench._progress import Progress
from bench.flip.load_process import LoadProcess
from bench.flip.open_loop import Phase, percentiles_ms
from bench.flip.versions import Versions
from cachctl.demo.fleet import Fleet

_QUIET_S = 8.0
_LOADED_S_MAX = 60.0
_MEMORY_SHARE = 0.6
_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(sys.path),
    "OPENBLAS_NUM_THREADS": "1",  # told from here: its package imports numpy before it could
    "OMP_NUM_THREADS": "1",
}


def fits(workers: int, size: int) -> bool:
    """Each worker holds the old copy and the new one for a while."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return 2 * workers * size < _MEMORY_SHARE * memory


def measure(
    fleet: Fleet, folder: Path, versions: Versions, workers: list[str], phase: Phase, flips: int,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    place = folder / "usual"
    place.mkdir()
    _deploy(place, versions, 0)
    names = [f"usual-{worker}" for worker in workers]
    sockets = {name: str(fleet.worker_socket(name)) for name in names}
    for name in names:
        fleet.start_program(
            name, "-m", "bench.flip.usual_worker", str(place), sockets[name], env=_ENVIRONMENT
        )  # fmt: skip
    for name in names:
        fleet.wait_for_worker(name)
    references = {
        bytes([number]) * 32: (number, [made.vectors])
        for number, made in enumerate(versions.made, 1)
    }

    def flip() -> None:
        for at in range(1, flips + 1):
            _deploy(place, versions, at)
            _await_loaded(fleet, place, at, names)
            progress.step(f"{at} of {flips} flips")

    with LoadProcess(sockets, references) as load:
        again = dataclasses.replace(phase, seed=random.Random(phase.seed).randrange(1 << 32))
        quiet, _, _ = load.during(again, lambda: time.sleep(_QUIET_S))
        busy, _, took_s = load.during(again, flip)
    for name in names:
        fleet.kill(name)
    figures = percentiles_ms(quiet.latencies_s, "quiet") | percentiles_ms(busy.latencies_s, "busy")
    return {f"usual_{name}": value for name, value in figures.items()} | {
        "usual_busy_to_quiet": round(figures["p99_busy_ms"] / figures["p99_quiet_ms"], 3),
        "usual_failed": quiet.failed + busy.failed,
        "usual_wrong": quiet.wrong + busy.wrong,
        "usual_flips": flips,
        "usual_flip_s": round(took_s / flips, 2),
    }


def _deploy(place: Path, versions: Versions, at: int) -> None:
    """Copy, then swap the symlink; the deployment before the last is deleted."""
    number = at % len(versions.made) + 1
    source, new = versions.made[number - 1].folder, place / f"{at}"
    subprocess.run(["cp", "-r", str(source), str(new)], check=True)
    (new / "number").write_text(str(number), encoding="ascii")
    link = place / "current.new"
    link.symlink_to(new.name)
    link.replace(place / "current")
    shutil.rmtree(place / str(at - 2), ignore_errors=True)


def _await_loaded(fleet: Fleet, place: Path, at: int, workers: list[str]) -> None:
    deadline = time.monotonic() + _LOADED_S_MAX
    while len(list(place.glob(f"loaded-{at}-*"))) < len(workers):
        if time.monotonic() > deadline:
            said = "".join(fleet.tail(worker) for worker in workers)
            raise RuntimeError(f"the usual way did not load deployment {at} in time{said}")
        time.sleep(0.05)
