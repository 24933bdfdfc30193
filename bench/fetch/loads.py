"""How long a version takes from a warm cache beside to resident, load by load."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from bench.fetch import ours
from bench.fetch.sending import sending
from bench.fetch.source import made_source


def measure(folder: Path, sizes: list[int], loads: int, threads: int) -> dict[str, Any]:
    """The figures of every size, by its name (`0.5 GB`)."""
    figures: dict[str, dict[str, float]] = {}
    for size in sizes:
        taken = _loads(folder, size, loads, threads)
        for name, value in taken.items():
            figures.setdefault(name, {})[f"{size / 1e9:g} GB"] = value
    return figures


def _loads(folder: Path, size: int, loads: int, threads: int) -> dict[str, float]:
    with made_source(folder / "source", size) as source, sending("peer", source.root) as port:
        ours.load(folder / "ours", source, port, threads)  # unmeasured, as in the rounds
        taken = [ours.load(folder / "ours", source, port, threads) for _ in range(loads)]
    seconds = sorted(load.seconds for load in taken)
    return {
        "loads": loads,
        "load_p50_s": round(statistics.median(seconds), 3),
        "load_p95_s": round(seconds[math.ceil(0.95 * loads) - 1], 3),
        "load_max_s": round(seconds[-1], 3),
        "load_rss_mb": round(max(load.rss_bytes for load in taken) / 1e6, 1),
    }
