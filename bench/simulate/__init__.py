"""Regions of up to thousands of nodes, by computation: the node's own planner in simulated time.

engine     time that passes as fast as it can be computed, and links
host       a host: planner, swarm state, offers, blame of a node; threads and sockets as events
scenario   a version, hosts with their links, and what goes wrong

Of the worst region: `last_over_lower_bound` is the slowest host's time over what no schedule beats
(frame headers count); `last_over_bound` the same over F / B, as `bench swarm` has it;
`origin_copies` what left the region's origin.
`python -m bench simulate --nodes 1000 --json`; `--nodes 8 --rate 100mbit --size 64MiB` is what
`bench swarm` measures on real links.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from bench._progress import Progress
from bench._units import bits, size
from bench.simulate.scenario import HEADERS, Outcome, Scenario, simulate_regions
from registry_core.domain.chunking import chunk_bytes_for


def run(args: list[str]) -> dict[str, Any]:
    options = _options(args)
    gc.disable()  # millions of objects live to the end, and cycles among them are few
    rows = []
    for nodes in options.nodes:
        began_s = time.perf_counter()
        scenario = _scenario(options, nodes, options.seed)
        outcomes = simulate_regions(scenario, options.regions, _progress(nodes))
        row = _row(nodes, outcomes, time.perf_counter() - began_s)
        print(row, file=sys.stderr)
        rows.append(row)
    return {"rows": rows, "rate": options.rate_text, "size": options.size, "seed": options.seed}


def _progress(nodes: int) -> Callable[[float, float], None]:
    """A thousand nodes with 5 GiB take a good part of an hour."""
    progress = Progress(lambda: f"{nodes} nodes: ")
    return lambda now_s, bound_s: progress.step(f"{now_s:.1f} of at least {bound_s:.1f} s")


def _options(args: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench simulate", description=__doc__)
    parser.add_argument("--nodes", type=_counts, default=[1000], help="of a region: 8,16,1000")
    parser.add_argument("--regions", type=int, default=1, help="each with an origin of its own")
    parser.add_argument(
        "--between",
        default=None,
        help="rate of the link over which each other region takes from the first one's origin",
    )
    parser.add_argument("--zones", type=int, default=3)
    parser.add_argument("--rate", dest="rate_text", default="1gbit", help="of each link")
    parser.add_argument("--origin-rate", default=None, help="as --rate unless told")
    parser.add_argument("--size", type=size, default=5 << 30, help="of the version: 5GiB")
    parser.add_argument("--chunk", type=size, default=None, help="as a push cuts it unless told")
    parser.add_argument("--latency-ms", type=float, default=0.25, help="one way")
    parser.add_argument("--slow", type=_share, default=(0.0, 0.0), help="0.1:250mbit")
    parser.add_argument("--late", type=_share, default=(0.0, 0.0), help="0.1:5 (seconds at most)")
    parser.add_argument("--failing", type=_share, default=(0.0, 0.0), help="0.01:20 (die by then)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    return parser.parse_args(args)


def _scenario(options: argparse.Namespace, nodes: int, seed: int) -> Scenario:
    rate = bits(options.rate_text)
    return Scenario(
        nodes=nodes,
        size=options.size,
        chunk=options.chunk or chunk_bytes_for(options.size),
        rate=rate,
        origin_rate=bits(options.origin_rate) if options.origin_rate else rate,
        latency_s=options.latency_ms / 1000,
        seed=seed,
        zones=options.zones,
        slow=options.slow,
        late=options.late,
        failing=options.failing,
        between=bits(options.between) if options.between else 0.0,
    )


def _row(nodes: int, outcomes: list[Outcome], took_s: float) -> dict[str, Any]:
    worst = max(outcomes, key=lambda one: max(one.seconds) / one.bound_s)
    last, p50 = max(worst.seconds), statistics.median(worst.seconds)
    return {
        "system": "cachd",
        "nodes": nodes,
        "last_over_lower_bound": round(last / worst.bound_s, 3),
        "p50_over_lower_bound": round(p50 / worst.bound_s, 3),
        "last_over_bound": round(HEADERS * last / worst.bound_s, 3),
        "origin_copies": round(max(one.origin_copies for one in outcomes), 3),
        "unfinished": sum(one.unfinished for one in outcomes),
        "bound_s": round(worst.bound_s, 2),
        "events": outcomes[0].events,
        "took_s": round(took_s, 1),
    }


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _share(text: str) -> tuple[float, float]:
    fraction, _, value = text.partition(":")
    return float(fraction), bits(value) if value.endswith("bit") else float(value)
