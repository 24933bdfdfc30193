"""Pictures of figures: `python -m bench plots` draws what is in bench/results/ into docs/images/.

A result is the last line of a bench, kept as a file: swarm-*.json and simulate-*.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
IMAGES = Path(__file__).parents[1] / "docs" / "images"


def run(_: list[str]) -> dict[str, Any]:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"font.size": 9, "svg.hashsalt": "cachd", "figure.dpi": 100}
    IMAGES.mkdir(exist_ok=True)
    drawn = [_swarm(path) for path in sorted(RESULTS.glob("swarm-*.json"))]
    simulated = sorted(RESULTS.glob("simulate-*.json"))
    if simulated:
        drawn.append(_simulated(simulated))
    return {"drawn": drawn}


def _swarm(path: Path) -> str:
    """A bar for each system: the median of the last node, with best and worst."""
    from matplotlib import pyplot as plt

    figures = json.loads(path.read_text(encoding="utf-8"))
    rows = sorted(figures["rows"], key=lambda row: -row["last_over_bound"])
    medians = [row["last_over_bound"] for row in rows]
    least = [row["last_over_bound"] - row["last_over_bound_best"] for row in rows]
    most = [row["last_over_bound_worst"] - row["last_over_bound"] for row in rows]
    figure, axes = plt.subplots(figsize=(7, 0.5 + 0.4 * len(rows)), layout="constrained")
    bars = axes.barh(
        [row["system"] for row in rows], medians, xerr=[least, most],
        color=["#1f77b4" if row["system"] == "cachd" else "#b8b8b8" for row in rows],
    )  # fmt: skip
    axes.bar_label(bars, [f"{median:.2f}" for median in medians], padding=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0, 1.12 * max(row["last_over_bound_worst"] for row in rows))
    axes.set_xlabel(
        f"last of {rows[0]['nodes']} nodes at {figures['rate']}, over F/B "
        f"(median of {figures['repeats']}, best and worst)"
    )
    return _save(figure, path.stem)


def _simulated(paths: list[Path]) -> str:
    """How it grows with the region."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    for path in paths:
        figures = json.loads(path.read_text(encoding="utf-8"))
        rows = sorted(figures["rows"], key=lambda row: row["nodes"])
        axes.plot(
            [row["nodes"] for row in rows], [row["last_over_lower_bound"] for row in rows],
            marker="o", label=f"{figures['size'] >> 20} MiB at {figures['rate']}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xlabel("nodes of a region (simulated)")
    axes.set_ylabel("last node over the lower bound")
    axes.legend()
    return _save(figure, "simulate")


def _save(figure: Any, name: str) -> str:
    from matplotlib import pyplot as plt

    path = IMAGES / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path.name
