"""Nodes of a region fetch from its origin, and go on with the home region's where they must."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.models import make_model
from tests.repair.rig import flip_a_bit
from tests.replicate.rig import add_eu
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
EU = ("--region", "eu")


def begin(rig: Rig, tmp_path: Path, *, replicated: bool) -> Path:
    """m/1 is in production; the folder of the origin of region eu."""
    with rig.connect() as registry:
        eu = add_eu(registry, tmp_path / "eu")
        registry.push(make_model(tmp_path / "v1"), "m")
        if replicated:
            registry.replicate(to="eu")
        registry.promote("m@production", 1)
    return eu


def moved(stage: dict[str, Any]) -> tuple[bool, bool]:
    """Whether chunks came from an origin, and from the home region's."""
    return stage["bytes_from_origin"] > 6_000_000, stage["bytes_from_home"] > 0


def test_a_node_fetches_from_its_regions_origin(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path, replicated=True)
    shutil.rmtree(rig.folder / "registry" / "origin" / "packs")
    rig.start_node("n1", *EU)
    assert moved(rig.wait_serving("n1", 1)) == (True, False)


def test_what_its_region_does_not_hold_yet_comes_from_home(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path, replicated=False)
    rig.start_node("n1", *EU)
    stage = rig.wait_serving("n1", 1)
    assert moved(stage) == (True, True)
    assert stage["bytes_from_home"] == stage["bytes_from_origin"]


@pytest.mark.parametrize("damaged", ["packs", "manifests"])
def test_what_its_region_holds_damaged_comes_from_home(
    tmp_path: Path, rig: Rig, seed: int, damaged: str
) -> None:
    eu = begin(rig, tmp_path, replicated=True)
    rng = random.Random(seed)
    for path in eu.glob(f"{damaged}/*/*"):
        flip_a_bit(path, rng, before=path.stat().st_size // 2)
    rig.start_node("n1", *EU)
    stage = rig.wait_serving("n1", 1)
    assert stage["bytes_from_origin"] > 6_000_000
    assert (stage["bytes_from_home"] > 0) == (damaged == "packs")
    assert stage["bytes_from_home"] <= stage["bytes_from_origin"]


def test_it_needs_no_authority_to_know_its_regions_origin(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path, replicated=True)
    rig.start_node("n1", *EU)
    rig.wait_serving("n1", 1)
    rig.fleet.kill("n1")
    rig.fleet.kill("authority")
    shutil.rmtree(rig.folder / "n1" / "cache")
    shutil.rmtree(rig.folder / "registry" / "origin")
    rig.start_node("n1", *EU)
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")


def test_a_region_without_an_origin_of_its_own(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path, replicated=True)
    rig.start_node("n1", "--region", "asia")
    assert moved(rig.wait_serving("n1", 1)) == (True, False)
    assert "asia" in rig.fleet.tail("n1")
