"""The bytes of a new version and nothing else, beside the same requests: `cp`, once the copy before
is deleted.

Nobody verifies, populates, loads, warms or switches; like a node's bulk threads it is nice, in a
session as light as a node's (ADR 20). What requests notice of it is what this machine makes of a
gigabyte that goes and one that comes, and no way of bringing a version spares them that.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from bench._progress import Progress
from bench.flip.flipping import rest
from bench.flip.load_process import LoadProcess
from bench.flip.open_loop import Phase, Tally, percentiles_ms
from bench.flip.stolen import Stolen
from bench.flip.versions import Versions
from cachd.cache.niceness import BULK_NICENESS

_AS_LIGHT = 'echo "$0" 2>/dev/null > /proc/self/autogroup; exec nice -n "$0" cp -r "$1" "$2"'


def measure(
    folder: Path, versions: Versions, load: LoadProcess, phase: Phase, copies: int, rest_s: float,
    progress: Progress,
) -> tuple[Tally, dict[str, Any]]:  # fmt: skip
    """`copies`, each after a rest. The workers serve what they serve, and the node has nothing to
    do."""
    target = folder / "plain"
    quiet, busy = Stolen(), Stolen()
    resting_s, copying_s = [], []

    def copy_all() -> None:
        for done in range(1, copies + 1):
            with quiet.during():
                resting_s.append(rest(rest_s))
            began_s = time.monotonic()
            with busy.during():
                shutil.rmtree(target, ignore_errors=True)
                _copy(versions.made[done % len(versions.made)].folder, target)
            copying_s.append((began_s, time.monotonic()))
            progress.step(f"{done} of {copies} plain copies")

    tally, _, _ = load.during(phase, copy_all)
    shutil.rmtree(target)
    rest(rest_s)  # before whatever is measured next
    figures = percentiles_ms(tally.within(resting_s), "plain_quiet")
    figures |= percentiles_ms(tally.within(copying_s), "plain_busy")
    ratio = figures["p99_plain_busy_ms"] / figures["p99_plain_quiet_ms"]
    return tally, figures | {
        "plain_busy_to_quiet": round(ratio, 3),
        "plain_copies": copies,
        "plain_copy_s": round(sum(end - begin for begin, end in copying_s) / copies, 2),
        "stolen_plain_quiet": round(quiet.share, 4),
        "stolen_plain_busy": round(busy.share, 4),
    }


def _copy(source: Path, target: Path) -> None:
    subprocess.run(
        ["sh", "-c", _AS_LIGHT, str(BULK_NICENESS), str(source), str(target)],
        check=True,
        start_new_session=True,
    )
