"""Pictures of figures: `python -m bench plots` draws what is in bench/results/ into docs/images/.

A result is the last line of `bench swarm`, `simulate` or `fetch`, kept as a file; which of them it
is, is seen in it. A swarm of several systems has a picture of its own, shapes of cachd alone share
one, and so do all simulations. The same figures give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
IMAGES = Path(__file__).parents[1] / "docs" / "images"
OURS, OTHERS = "#1f77b4", "#b8b8b8"
Figures = dict[str, Any]
_WAYS = {
    "gbit_s": "cachd", "plain_gbit_s": "plain loop, no hashing", "aria2_gbit_s": "aria2, sha256sum",
    "aria2_alone_gbit_s": "aria2, unverified", "hf_gbit_s": "huggingface_hub",
}  # fmt: skip


def run(args: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench plots", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of *.json")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of *.svg")
    options = parser.parse_args(args)
    found = {path.stem: _figures_in(path) for path in sorted(options.results.glob("*.json"))}
    if not found:
        parser.error(f"no results in {options.results}: keep the last line of a bench there")
    _prepare()
    options.images.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, figure in _pictures(found):
        figure.savefig(options.images / f"{name}.svg", metadata={"Date": None})
        drawn.append(f"{name}.svg")
    return {"drawn": drawn}


def _figures_in(path: Path) -> Figures:
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    try:
        figures: Figures = json.loads(lines[-1])
        figures["rows"][0]
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise SystemExit(f"{path} does not end with the line of a bench that has rows") from None
    return figures


def _prepare() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"font.size": 9, "svg.hashsalt": "cachd", "svg.fonttype": "none"}


def _pictures(found: dict[str, Figures]) -> Iterator[tuple[str, Any]]:
    simulated, shapes = {}, {}
    for name, figures in found.items():
        first = figures["rows"][0]
        if "last_over_lower_bound" in first:
            simulated[name] = figures
        elif "gbit_s" in first:
            yield name, _fetch(figures)
        elif len(figures["rows"]) > 1:
            yield name, _swarm(figures)
        else:
            shapes[name] = figures
    if shapes:
        yield "swarm-shapes", _shapes(shapes)
    if simulated:
        yield "simulate", _simulated(simulated)


def _swarm(figures: Figures) -> Any:
    """A bar for each system: the last node, with best and worst, and what left the origin."""
    from matplotlib import pyplot as plt

    rows = sorted(figures["rows"], key=lambda row: -row["last_over_bound"])
    names = [row["system"] for row in rows]
    colors = [OURS if name == "cachd" else OTHERS for name in names]
    figure, (time, copies) = plt.subplots(
        1, 2, sharey=True, figsize=(8, 0.8 + 0.4 * len(rows)), layout="constrained",
        width_ratios=[3, 2],
    )  # fmt: skip
    _bars_with_range(time, names, rows, colors)
    time.set_xlabel(
        f"last of {rows[0]['nodes']} nodes at {figures['rate']}, over F/B "
        f"(median of {figures['repeats']}, best and worst)"
    )
    bars = copies.barh(names, [row["origin_copies"] for row in rows], color=colors)
    copies.bar_label(bars, [f"{row['origin_copies']:.2f}" for row in rows], padding=3)
    copies.set_xlim(0, 1.2 * max(row["origin_copies"] for row in rows))
    copies.set_xlabel("copies that left the origin")
    return figure


def _shapes(found: dict[str, Figures]) -> Any:
    """cachd alone, each shape under the name of its file."""
    from matplotlib import pyplot as plt

    names = [name.removeprefix("swarm-") for name in found]
    rows = [figures["rows"][0] for figures in found.values()]
    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.4 * len(rows)), layout="constrained")
    _bars_with_range(axes, names, rows, [OURS] * len(rows))
    axes.invert_yaxis()
    axes.set_xlabel("cachd: last node over F/B (median, best and worst)")
    return figure


def _bars_with_range(axes: Any, names: list[str], rows: list[Figures], colors: list[str]) -> None:
    medians = [row["last_over_bound"] for row in rows]
    least = [row["last_over_bound"] - row["last_over_bound_best"] for row in rows]
    most = [row["last_over_bound_worst"] - row["last_over_bound"] for row in rows]
    bars = axes.barh(names, medians, xerr=[least, most], color=colors)
    axes.bar_label(bars, [f"{median:.2f}" for median in medians], padding=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0, 1.15 * max(row["last_over_bound_worst"] for row in rows))


def _fetch(figures: Figures) -> Any:
    """A group of bars for each size: what each way brings in a second."""
    from matplotlib import pyplot as plt

    rows = figures["rows"]
    ways = [way for way in _WAYS if any(way in row for row in rows)]
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for at, way in enumerate(ways):
        places = [
            group + (at - (len(ways) - 1) / 2) * 0.8 / len(ways) for group in range(len(rows))
        ]
        bars = axes.bar(
            places, [row.get(way, 0) for row in rows], 0.8 / len(ways), label=_WAYS[way]
        )
        axes.bar_label(bars, fmt="%.1f", padding=2)
    axes.set_xticks(range(len(rows)), [f"{row['size_bytes'] / (1 << 30):g} GiB" for row in rows])
    axes.set_ylabel("Gbit/s, peer to resident")
    axes.margins(y=0.15)
    axes.legend(ncols=3, loc="upper left", bbox_to_anchor=(0, 1.3), frameon=False)
    return figure


def _simulated(found: dict[str, Figures]) -> Any:
    """How it grows with the region: a line for each version and rate."""
    from matplotlib import pyplot as plt

    lines: dict[str, list[tuple[int, float]]] = {}
    for figures in found.values():
        label = f"{figures['size'] >> 20} MiB at {figures['rate']}"
        points = [(row["nodes"], row["last_over_lower_bound"]) for row in figures["rows"]]
        lines.setdefault(label, []).extend(points)
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for label, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
    axes.set_xscale("log")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xlabel("nodes of a region (simulated)")
    axes.set_ylabel("last node over the lower bound")
    axes.legend()
    return figure
