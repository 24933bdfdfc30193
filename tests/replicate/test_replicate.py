"""Copying versions to another region's origin: what arrives, what does not, and what the log says
of it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.errors import InvalidInput, NotFound, OriginError
from tests.garbage.rig import IMPATIENT, embedded, gc
from tests.models import make_model
from tests.repair.rig import flip_a_bit, origin_folder, packs_of
from tests.replicate.rig import (
    EU,
    add_eu,
    held,
    home_objects,
    is_visible,
    push_versions,
    unsound,
    version_objects,
)


def test_everything_arrives_once(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 3)
    eu = add_eu(registry, tmp_path / "eu")
    told: list[tuple[str, int, int]] = []
    first, second, third = registry.replicate(
        to=EU, progress=lambda *said: told.append(said), reason="a second site"
    )
    assert version_objects(eu) == home_objects(registry)
    assert held(registry) == ["m/1", "m/2", "m/3"]
    assert (first.bytes_there, first.problem) == (0, "")
    assert first.bytes_copied >= first.version.bytes - 1000  # what is empty has no chunk
    assert 0 < second.bytes_copied < second.bytes_there, "what versions share is copied once"
    assert told[-1] == ("copy", *[sum(v.version.bytes for v in (first, second, third))] * 2)
    size = embedded(registry).ledger.size()
    again = registry.replicate(to=EU)
    assert [one.bytes_copied for one in again] == [0, 0, 0]
    assert embedded(registry).ledger.size() == size, "nothing to do, nothing in the log"
    assert "a second site" in {entry.reason for entry in registry.history("m")}


def test_one_version_or_one_model(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 2)
    push_versions(registry, tmp_path, 1, "other")
    registry.promote("m@production", 1)
    eu = add_eu(registry, tmp_path / "eu")
    planned = registry.replicate("m@production", to=EU, dry_run=True)
    assert [one.name for one in planned] == ["m/1"]
    assert planned[0].bytes_copied > 0
    assert (version_objects(eu), held(registry)) == ({}, [])
    registry.replicate("m@production", to=EU)
    assert held(registry) == ["m/1"]
    registry.replicate("other", to=EU)
    assert held(registry) == ["m/1", "other/1"]
    registry.replicate("m/2", to=EU)
    assert version_objects(eu) == home_objects(registry)
    holding = registry.regions.holding(registry.resolve("m/2").version)
    assert [(one.region, one.holds, one.home) for one in holding] == [
        ("local", True, True),
        ("eu", True, False),
    ]


def test_refusals(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 1)
    with pytest.raises(NotFound, match="region list"):
        registry.replicate(to=EU)
    with pytest.raises(InvalidInput, match="home region"):
        registry.replicate(to="local")
    add_eu(registry, tmp_path / "eu")
    with pytest.raises(NotFound, match="no model"):
        registry.replicate("nope", to=EU)
    with pytest.raises(NotFound):
        registry.replicate("m/9", to=EU)


def test_a_damaged_chunk_is_named_and_nothing_of_its_version_is_visible(
    registry: Registry, tmp_path: Path, seed: int
) -> None:
    push_versions(registry, tmp_path, 2)
    first, second = (registry.resolve(f"m/{number}").version for number in (1, 2))
    (own,) = packs_of(registry, second) - packs_of(registry, first)
    pack = origin_folder(registry) / own
    flip_a_bit(pack, random.Random(seed), before=pack.stat().st_size // 2)
    eu = add_eu(registry, tmp_path / "eu")
    done = registry.replicate(to=EU)
    assert done[0].problem == ""
    assert (own in done[1].problem, "model.safetensors" in done[1].problem) == (True, True)
    assert (held(registry), is_visible(eu, first), is_visible(eu, second)) == (
        ["m/1"], True, False,
    )  # fmt: skip
    assert not (eu / own).exists()


@pytest.mark.parametrize("suffix", ["", ".bundle", ".packs"])
def test_a_damaged_document_is_not_passed_on(
    registry: Registry, tmp_path: Path, seed: int, suffix: str
) -> None:
    push_versions(registry, tmp_path, 1)
    folder = origin_folder(registry)
    (found,) = [
        path for path in folder.glob("manifests/*/*")
        if path.name.removesuffix(suffix).isalnum() and path.name.endswith(suffix)
    ]  # fmt: skip
    found.write_bytes(found.read_bytes()[:-10])
    eu = add_eu(registry, tmp_path / "eu")
    (done,) = registry.replicate(to=EU)
    assert "is damaged" in done.problem
    assert (version_objects(eu), held(registry)) == ({}, [])


def test_what_a_region_lost_is_copied_again(registry: Registry, tmp_path: Path, seed: int) -> None:
    push_versions(registry, tmp_path, 2)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate(to=EU)
    whole = version_objects(eu)
    lost, short, other = min(eu.glob("packs/*/*")), *sorted(eu.glob("manifests/*/*"))[:2]
    lost.unlink()
    short.write_bytes(short.read_bytes()[:-1])
    other.unlink()
    assert any(one.bytes_copied for one in registry.replicate(to=EU))
    assert version_objects(eu) == whole
    cut = sorted(eu.glob("packs/*/*"))[1]
    cut.write_bytes(cut.read_bytes()[:-100])
    registry.replicate(to=EU)
    assert version_objects(eu) == whole
    flip_a_bit(cut, random.Random(seed), before=cut.stat().st_size // 2)
    assert not any(one.bytes_copied for one in registry.replicate(to=EU)), "the index is as it was"
    assert any(one.bytes_copied for one in registry.replicate(to=EU, deep=True))
    assert version_objects(eu) == whole


def test_a_copying_that_failed_announces_nothing_any_more(
    registry: Registry, tmp_path: Path
) -> None:
    """Its announcement has ended: gc need not wait a day for it."""
    push_versions(registry, tmp_path, 1)
    next(origin_folder(registry).glob("packs/*/*")).unlink()
    add_eu(registry, tmp_path / "eu")
    (done,) = registry.replicate(to=EU)
    assert "packs/" in done.problem
    report = gc(registry, waits=IMPATIENT, later_ms=1000)
    assert report.pushes_ended == 0
    begun = [e for e in registry.history("m") if e.type.value in ("push.begun", "push.ended")]
    assert len(begun) == 4, "the push and the copying began and ended"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small tmpfs")
    mounted = tmp_path / "small"
    mounted.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "none", mounted], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {made.stderr.decode().strip()}")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


@pytest.mark.root
def test_a_region_whose_disk_is_full(registry: Registry, tmp_path: Path, small_disk: Path) -> None:
    for number in range(2):
        registry.push(make_model(tmp_path / f"v{number}", seed=number, tensors=4), "m")
    eu = add_eu(registry, small_disk / "eu")
    with pytest.raises(OriginError, match="No space left"):
        registry.replicate(to=EU)
    assert held(registry) == ["m/1"]
    assert not is_visible(eu, registry.resolve("m/2").version)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    first, second = registry.replicate(to=EU)
    assert (first.bytes_copied, second.problem) == (0, "")
    assert version_objects(eu) == home_objects(registry)
    assert unsound(registry, registry.regions.origin(EU), held(registry)) == []


def test_each_origin_heals_from_the_other(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 2)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate("m/2", to=EU)
    whole = version_objects(eu)
    for path in (next(eu.glob("packs/*/*")), next(eu.glob("manifests/*/*.bundle"))):
        path.unlink()
    (found,) = list(registry.check_origin(region=EU).run())
    assert (found.name, len(found.problems)) == ("m/2", 2)
    (healed,) = list(registry.check_origin(region=EU, repair=True).run())
    assert (len(healed.healed), healed.lost) == (2, [])
    assert version_objects(eu) == whole

    registry.replicate(to=EU)
    home = home_objects(registry)
    for folder in ("packs", "manifests"):
        shutil.rmtree(origin_folder(registry) / folder)
    assert [one.lost for one in registry.check_origin(repair=True).run()] == [[], []]
    assert home_objects(registry) == home


def test_what_nobody_can_give_back_is_withdrawn(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 1)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate(to=EU)
    for folder in (eu, origin_folder(registry)):
        shutil.rmtree(folder / "packs")
    (found,) = list(registry.check_origin(region=EU, repair=True).run())
    assert found.lost
    assert held(registry) == []
    assert list(registry.check_origin(region=EU).run()) == [], "it holds nothing by the log"
    with pytest.raises(NotFound, match="region list"):
        registry.check_origin(region="asia")
    assert len(list(registry.check_origin(region="local").run())) == 1
