"""A node's limits, as an operator sets them: real processes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import ItemsView
from pathlib import Path
from typing import Any

import pytest

from tests.system.rig import Rig

MIB = 1 << 20
BOUND_S = 8 * MIB / 8e6 - 0.05  # of 8 MiB at 64 Mbit/s, less the burst


def cachd_node(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cachd.main", "node", "--authority", "http://127.0.0.1:1",
         "--root", str(tmp_path / "root.json"), "--data", str(tmp_path / "n"), *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--max-upload", "100kbit"), "below 1mbit"),
        (("--max-download", "fast"), "800mbit"),
        (("--congestion-control", "best"), "tcp_available_congestion_control"),
        (("--bulk-share", "0%"), "1% to 100%"),
        (("--bulk-share", "0.2"), "1% to 100%"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = cachd_node(tmp_path, *words)
    assert done.returncode == 8
    assert said in done.stderr


def bulk_path(rig: Rig, node: str) -> ItemsView[str, Any]:
    """What the node's log says of it."""
    lines = (rig.folder / f"{node}.log").read_text(encoding="utf-8").splitlines()
    said: dict[str, Any] = next(
        line for line in map(json.loads, lines) if line["event"] == "bulk path"
    )
    return said.items()


@pytest.mark.slow
def test_nodes_keep_their_limits(tmp_path: Path, rig: Rig) -> None:
    """The first is limited in what it takes, and gives slowly; the other has no origin to ask."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(random.Random(3).randbytes(8 * MIB))
    with rig.connect() as registry:
        registry.push(model, "m")
        rig.start_node(
            "n1", "--max-download", "64mbit", "--max-upload", "64mbit",
            "--congestion-control", "reno", "--upload-slots", "5",
        )  # fmt: skip
        began_s = time.monotonic()
        registry.promote("m@production", 1)
        rig.wait_serving("n1", 1)
        assert time.monotonic() - began_s >= BOUND_S
        assert bulk_path(rig, "n1") >= {
            "max_upload": "64mbit", "max_download": "64mbit", "congestion_control": "reno",
            "upload_slots": 5,
        }.items()  # fmt: skip
        (rig.folder / "registry" / "origin" / "packs").rename(tmp_path / "packs")
        began_s = time.monotonic()
        rig.start_node("n2")
        rig.wait_serving("n2", 1)
        assert time.monotonic() - began_s >= BOUND_S
