from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core.ledger.lmdb_store import LmdbStore
from tests.ledger.rig import Books


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A ledger on LMDB in `tmp_path`/ledger."""
    store = LmdbStore(tmp_path / "ledger", holder="the test")
    yield Books(store, tmp_path / "origin")
    store.close()
