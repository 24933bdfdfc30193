"""gc with several regions: what goes, goes everywhere; what somebody may need, stays."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

import registry_core
from registry_core import Registry
from registry_core.domain.identifiers import RegionName
from registry_core.errors import IntegrityError
from registry_core.ledger.check import check_ledger
from tests.garbage.race import Program
from tests.garbage.rig import FILES, IMPATIENT, RUTHLESS, embedded, gc, make_files
from tests.replicate.rig import (
    EU,
    add_eu,
    held,
    home_objects,
    push_versions,
    unsound,
    version_objects,
)

_LATER_MS = 60_000


def test_a_deleted_version_goes_from_every_region(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 3)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate(to=EU)
    registry.metadata.delete("m/2")
    condemned = gc(registry, waits=IMPATIENT, later_ms=_LATER_MS)
    assert (condemned.packs_condemned, condemned.packs_deleted) == (1, 0)
    deleted = gc(registry, waits=IMPATIENT, later_ms=2 * _LATER_MS)
    assert deleted.packs_deleted == 1
    assert deleted.bytes_deleted == 2 * condemned.bytes_condemned // 2
    assert version_objects(eu) == home_objects(registry)
    assert held(registry) == ["m/1", "m/3"]
    assert unsound(registry, registry.regions.origin(EU), held(registry)) == []
    gc(registry, waits=IMPATIENT, later_ms=3 * _LATER_MS)
    assert version_objects(eu) == home_objects(registry)


def test_what_was_copied_and_not_recorded_yet_stays(registry: Registry, tmp_path: Path) -> None:
    """As a copying leaves it that was killed: the next one finds all of its packs."""
    push_versions(registry, tmp_path, 2)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate(to=EU)
    for number in (1, 2):
        version = registry.resolve(f"m/{number}").version
        registry.control.regions.withdraw_copy(version, RegionName(EU), registry._change(""))
    for document in eu.glob("manifests/*/*"):
        document.unlink()
    for later in (1, 2):
        report = gc(registry, waits=RUTHLESS, later_ms=later * _LATER_MS)
        assert (report.packs_condemned, report.packs_deleted) == (0, 0)
    assert [one.bytes_copied for one in registry.replicate(to=EU)] == [0, 0]


def test_nothing_goes_while_a_regions_hint_is_lost(registry: Registry, tmp_path: Path) -> None:
    push_versions(registry, tmp_path, 2)
    eu = add_eu(registry, tmp_path / "eu")
    registry.replicate(to=EU)
    registry.metadata.delete("m/1")
    digest = registry.resolve("m/2").version.digest.removeprefix("sha256:")
    next(eu.glob(f"manifests/*/{digest}.packs")).unlink()
    with pytest.raises(IntegrityError, match="eu, so nobody knows"):
        gc(registry, waits=IMPATIENT, later_ms=_LATER_MS)
    registry.regions.remove(EU)
    gc(registry, waits=IMPATIENT, later_ms=_LATER_MS)
    gc(registry, waits=IMPATIENT, later_ms=2 * _LATER_MS)
    assert len(version_objects(eu)) == 7, "an origin that is no region's any more is left alone"


@pytest.mark.slow
def test_every_recorded_copy_is_whole(tmp_path: Path, seed: int) -> None:
    """gc without patience against processes that push, delete and copy."""
    home, counted = tmp_path / "registry", Counter[str]()
    with registry_core.init(home) as registry:
        add_eu(registry, tmp_path / "eu")
    env = dict(os.environ)
    with ExitStack() as stack:
        authority = stack.enter_context(
            Program("tests.garbage.collecting_authority", home, env=env)
        )
        url = authority.line()["url"]
        pushers = [
            stack.enter_context(
                Program("tests.garbage.pushing_process", url, home / "keys",
                        tmp_path / f"files-{number}", f"m{number}", str(seed + number), env=env)
            )
            for number in range(2)
        ]  # fmt: skip
        copying = stack.enter_context(
            Program("tests.replicate.copying_process", url, home / "keys", EU, env=env)
        )
        deadline_s = time.monotonic() + 60  # it ends by itself when it has copied enough
        while time.monotonic() < deadline_s and copying.alive:
            time.sleep(0.1)
        copied = copying.finish()
        for pusher in pushers:
            counted.update(pusher.finish())
        collected = authority.finish()
    print(json.dumps(copied), json.dumps(counted), json.dumps(collected))
    with registry_core.open(home) as registry:
        gc(registry, waits=IMPATIENT)  # pardons what the last run condemned too early
        registry.push(make_files(tmp_path / "last", range(FILES)), "m0")
        last = registry.replicate(to=EU)
        assert [one.problem for one in last] == [""] * len(last)
        assert len(held(registry)) == len(last)
        assert unsound(registry, registry.regions.origin(EU), held(registry)) == []
        assert unsound(registry, registry.origin, held(registry)) == []
        with embedded(registry).ledger.read() as txn:
            assert check_ledger(txn).problems == []
        for name in held(registry):
            registry.metadata.delete(name)
        for later in (1, 2):
            gc(registry, waits=IMPATIENT, later_ms=later * _LATER_MS)
        assert version_objects(tmp_path / "eu") == {}
    assert copied["copied"] > 0
    assert collected["deleted"] > 0
    assert {kind for kind in collected if kind[0].isupper()} == set(), "gc had no errors"
