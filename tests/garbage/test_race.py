"""gc without patience against processes that push and delete versions which share chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry_core
from registry_core.ledger.check import check_ledger
from tests.garbage.race import race
from tests.garbage.rig import IMPATIENT, embedded, gc, packs, verify


@pytest.mark.slow
def test_every_registered_version_is_whole(tmp_path: Path, seed: int) -> None:
    registry_core.init(tmp_path / "registry").close()
    pushed, collected = race(tmp_path, seed, for_s=12)
    print(dict(pushed), dict(collected))
    with registry_core.open(tmp_path / "registry") as registry:
        report = verify(registry)
        assert report.problems == []
        with embedded(registry).ledger.read() as txn:
            assert check_ledger(txn).problems == []
        assert report.versions > 0
        for _ in range(2):
            gc(registry, waits=IMPATIENT, later_ms=60_000)
        assert verify(registry).problems == []
        for model in registry.models():
            for version in registry.versions(model.name, newest=1000):
                registry.metadata.delete(f"{model.name}/{version.number}")
        for _ in range(2):
            gc(registry, waits=IMPATIENT, later_ms=120_000)
        assert packs(registry) == set()
    assert pushed["created"] > 50
    assert collected["deleted"] > 20
    assert collected["documents"] > 20
    assert {kind for kind in collected if kind[0].isupper()} == set(), "gc had no errors"
