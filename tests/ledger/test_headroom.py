"""The space that is written ahead of an LMDB file's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_core.ledger import headroom
from registry_core.ledger.headroom import LOW_BYTES, STEP_BYTES, Headroom
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.store import Table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "data.mdb"
    made.write_bytes(b"x" * 1000)
    return made


def test_the_file_grows_by_steps_of_zeros(file: Path) -> None:
    ahead = Headroom(file)
    ahead.keep(1000)
    assert file.read_bytes() == b"x" * 1000 + bytes(STEP_BYTES)
    ahead.keep(1000 + STEP_BYTES - LOW_BYTES)
    assert file.stat().st_size == 1000 + STEP_BYTES, "enough is left"
    ahead.keep(1001 + STEP_BYTES - LOW_BYTES)
    assert file.stat().st_size == 1000 + 2 * STEP_BYTES


def test_space_that_is_there_is_used(file: Path) -> None:
    Headroom(file).keep(0)
    Headroom(file).keep(1000)
    assert file.stat().st_size == 1000 + STEP_BYTES


def test_a_nearly_full_disk_is_left_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "DISK_FREE_BYTES_MIN", 1 << 62)
    Headroom(file).keep(1000)
    assert file.stat().st_size == 1000


def test_without_the_file_nothing_happens(tmp_path: Path) -> None:
    Headroom(tmp_path / "none").keep(0)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_keeps_space_ahead_of_its_records(tmp_path: Path) -> None:
    data = tmp_path / "ledger" / "data.mdb"
    store = LmdbStore(tmp_path / "ledger")
    for number in range(200):
        with store.write() as txn:
            txn.put(Table.LOG, number.to_bytes(8, "big"), bytes(20_000))
        assert data.stat().st_size >= store.used_bytes()
    ahead = data.stat().st_size - store.used_bytes()
    store.close()
    assert 0 < ahead <= STEP_BYTES + LOW_BYTES
    with LmdbStore(tmp_path / "ledger", readonly=True).read() as txn:
        assert len(list(txn.scan(Table.LOG))) == 200
