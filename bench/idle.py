"""`python -m bench idle`: what an authority and a node cost while nothing happens.

A node that serves a model to one attached worker; after a pause to settle, CPU time over
`--seconds` and resident memory, both from /proc.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import registry_core
from cachctl.demo.fleet import Fleet
from cachctl.demo.tensors import write_tensors
from cachd.serve.client import attach

_SETTLE_S = 3.0


def run(argv: list[str]) -> dict[str, float]:
    parser = argparse.ArgumentParser(prog="bench idle")
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as name, Fleet(Path(name)) as fleet:
        folder = Path(name)
        authority, node = _start(folder, fleet)
        with attach("m", load=lambda version: version.number, socket=node["socket"]):
            time.sleep(_SETTLE_S)
            before = [_cpu_s(said["pid"]) for said in (authority, node)]
            time.sleep(seconds)
            after = [_cpu_s(said["pid"]) for said in (authority, node)]
            used = [100 * (b - a) / seconds for a, b in zip(before, after, strict=True)]
            return {
                "authority_cpu_percent": round(used[0], 2),
                "node_cpu_percent": round(used[1], 2),
                "authority_rss_mb": _rss_mb(authority["pid"]),
                "node_rss_mb": _rss_mb(node["pid"]),
                "seconds": seconds,
            }


def _start(folder: Path, fleet: Fleet) -> tuple[dict[str, int], dict[str, str]]:
    (folder / "model").mkdir()
    weights = np.random.default_rng(1).standard_normal((1024, 1024), dtype=np.float32)
    write_tensors(folder / "model" / "model.safetensors", {"w": weights})
    with registry_core.init(folder / "registry") as registry:
        registry.push(folder / "model", "m")
        registry.promote("m@production", 1)
    authority = fleet.start_daemon(
        "authority", "authority", "--home", str(folder / "registry"), "--listen", "127.0.0.1:0"
    )
    node = fleet.start_daemon(
        "node", "node", "--name", "n1", "--authority", str(authority["url"]),
        "--root", str(folder / "registry" / "root.json"), "--data", str(folder / "node"),
        "--listen", "127.0.0.1:0", "--serve", "m@production",
    )  # fmt: skip
    return authority, node


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
