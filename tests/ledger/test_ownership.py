"""One owner at a time; when it dies, another takes over, and the old one writes no more."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from registry_core.errors import NotOwner
from registry_core.ledger.ownership import Ownership
from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Table
from tests.ledger.postgres_server import PostgresServer
from tests.ledger.rig import Books


def test_one_at_a_time(books: Books) -> None:
    first = Ownership(books.store, "delivery", "a")
    second = Ownership(books.store, "delivery", "b")
    assert first.acquire_or_renew() == 1
    assert second.acquire_or_renew() is None
    assert first.acquire_or_renew() == 1, "renewed"
    assert Ownership(books.store, "another job", "b").acquire_or_renew() == 1
    second.release()
    assert second.acquire_or_renew() is None, "only who has it can let it go"
    first.release()
    assert second.acquire_or_renew() == 2
    with books.store.write() as txn, pytest.raises(NotOwner):
        first.require(txn, 1)
    with books.store.write() as txn:
        second.require(txn, 2)


def test_it_runs_out(books: Books) -> None:
    first = Ownership(books.store, "delivery", "a", ttl_ms=0)
    second = Ownership(books.store, "delivery", "b")
    assert first.acquire_or_renew() == 1
    with books.store.write() as txn, pytest.raises(NotOwner):
        first.require(txn, 1)
    assert second.acquire_or_renew() == 2
    assert first.acquire_or_renew() is None


def test_what_a_late_owner_writes_is_refused_whole(books: Books) -> None:
    first = Ownership(books.store, "delivery", "a", ttl_ms=0)
    token = first.acquire_or_renew()
    assert token is not None
    with pytest.raises(NotOwner), books.store.write() as txn:  # noqa: PT012  # all of it is undone
        txn.put(Table.CONSUMERS, b"cursor", b"7")
        first.require(txn, token)
    with books.store.read() as txn:
        assert txn.get(Table.CONSUMERS, b"cursor") is None


@pytest.mark.slow
def test_takes_over_from_a_killed_process(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    store = PostgresStore(url)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.owning_process", url, "other"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "1"
    ours = Ownership(store, "delivery", "this")
    assert ours.acquire_or_renew() is None
    process.kill()
    killed_s = time.monotonic()
    process.wait()
    while (token := ours.acquire_or_renew()) is None:
        assert time.monotonic() - killed_s < 5, "hand over in less than five seconds"
        time.sleep(0.05)
    assert token == 2
    process.stdout.close()
    store.close()
