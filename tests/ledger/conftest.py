from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from registry_core.errors import LedgerUnavailable
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Store
from tests.ledger.rig import Books


@pytest.fixture(params=["lmdb", "postgres"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    """A ledger on each real backend, which is checked after each test."""
    store: Store
    if request.param == "lmdb":
        store = LmdbStore(tmp_path / "ledger", holder="the test")
    else:
        store = PostgresStore(request.getfixturevalue("postgres").new_database())
    made = Books(store, tmp_path / "origin")
    yield made
    check_if_open(made)
    store.close()


def check_if_open(books: Books) -> None:
    try:
        report = books.check()
    except (LedgerUnavailable, lmdb.Error):
        return  # the test closed it, or left nothing to read
    assert report.clean, report.problems
