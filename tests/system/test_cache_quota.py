"""A node whose cache is small: what it says while a version does not fit, and what it keeps."""

from __future__ import annotations

import random
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cachd.control.remote import RemoteControl
from registry_core.domain.identifiers import ModelName
from tests.cli.cachctl import cachctl
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
MIB = 1 << 20


def on_node(rig: Rig, node: str) -> dict[str, Any]:
    with rig.connect() as registry:
        control = registry.control
        assert isinstance(control, RemoteControl)
        found = control.status(ModelName("m"))["nodes"]
        return next(one for one in found if one["node"] == node)


def model(folder: Path, seed: int, size: int) -> Path:
    folder.mkdir()
    (folder / "weights.bin").write_bytes(random.Random(seed).randbytes(size))
    return folder


def test_a_small_cache_gives_way_and_says_what_does_not_fit(tmp_path: Path, rig: Rig) -> None:
    with rig.connect() as registry:
        for number in range(1, 5):
            registry.push(model(tmp_path / f"v{number}", number, 2 * MIB), "m")
        registry.push(model(tmp_path / "v5", 5, 12 * MIB), "m")
        registry.promote("m@production", 1)
        said = rig.start_node(
            "n1", "--cache-quota", "8MiB", "--grace-s", "1", "--api", "127.0.0.1:0"
        )
        rig.wait_serving("n1", 1)
        for number in range(2, 5):
            registry.promote("m@production", number)
            rig.wait_serving("n1", number)
        rig.wait(lambda: on_node(rig, "n1")["cache_limit"] == 8 * MIB, "the report", "n1")
        versions = rig.folder / "n1" / "cache" / "versions"
        assert 2 <= len(list(versions.iterdir())) < 4
        assert 4 * MIB < on_node(rig, "n1")["cache_bytes"] <= 8 * MIB
        registry.promote("m@production", 5)

    def told() -> bool:
        stage = rig.stage_on("n1")
        return bool(stage and stage["state"] == "waiting" and "--cache-quota" in stage["detail"])

    rig.wait(told, "the version that does not fit is told", "n1")
    stage = rig.stage_on("n1")
    assert stage is not None
    assert stage["observed"]["number"] == 4, "what is served is served on"
    with urllib.request.urlopen(f"{said['api']}/metrics", timeout=10) as answer:
        figures = dict(
            line.split(" ") for line in answer.read().decode().splitlines() if line[0] != "#"
        )
    assert float(figures["cachd_cache_limit_bytes"]) == 8 * MIB
    assert 0 < float(figures["cachd_cache_bytes"]) <= 8 * MIB
    assert float(figures["cachd_scrub_chunks_damaged"]) == 0
    assert "/ 8.4 MB" in cachctl("status", "m", registry=rig.url).out
    rig.fleet.kill("n1")
    rig.start_node("n1", "--cache-quota", "64MiB")
    rig.wait_serving("n1", 5)
