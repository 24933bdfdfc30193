"""What is special about PostgreSQL: servers that restart, sessions that end, several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import registry_core
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput, LedgerUnavailable
from registry_core.ledger import queries
from registry_core.ledger.check import check_ledger
from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Table
from tests.ledger.postgres_server import PostgresServer
from tests.ledger.rig import Books


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with PostgresServer.in_new_folder() as server:
        yield server


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_goes_on_after_the_server_was_restarted(
    own_server: PostgresServer, how: signal.Signals, tmp_path: Path
) -> None:
    store = PostgresStore(own_server.new_database())
    books = Books(store, tmp_path / "origin")
    books.live()
    size = len(books.records())
    own_server.stop(how=how)
    with pytest.raises(LedgerUnavailable):
        books.add_version()
    own_server.start()
    version = next(_tried(books))
    books.promote(version)
    assert len(books.records()) == size + 2
    assert books.check().clean
    store.close()


def _tried(books: Books) -> Iterator[object]:
    """Connections that the restart broke are noticed one by one."""
    for _ in range(20):
        try:
            yield books.add_version()
        except LedgerUnavailable:
            continue


def test_a_session_that_is_ended_leaves_nothing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    store = PostgresStore(url)
    with pytest.raises(LedgerUnavailable), store.write() as txn:  # noqa: PT012  # all is undone
        txn.put(Table.CONSUMERS, b"a", b"1")
        txn.get(Table.CONSUMERS, b"b")
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    with store.write() as txn:
        assert txn.get(Table.CONSUMERS, b"a") is None
        txn.put(Table.CONSUMERS, b"a", b"2")
    with store.read() as txn:
        assert txn.get(Table.CONSUMERS, b"a") == b"2"
    store.close()


@pytest.mark.parametrize("stuck", [False, True], ids=["killed", "stuck"])
def test_a_writer_that_never_ends_holds_nobody_up_for_long(
    postgres: PostgresServer, *, stuck: bool
) -> None:
    url = postgres.new_database()
    store = PostgresStore(url)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.head_holding_process", url],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    if not stuck:
        process.kill()
    began_s = time.monotonic()
    with store.write() as txn:
        assert txn.get(Table.CONSUMERS, b"never") is None
        txn.put(Table.CONSUMERS, b"ours", b"1")
    assert time.monotonic() - began_s < (8 if stuck else 3)
    process.kill()
    process.wait()
    process.stdout.close()
    store.close()


def test_messages_tell_what_to_do_and_no_password(postgres: PostgresServer) -> None:
    with pytest.raises(LedgerUnavailable, match="Is the server running") as caught:
        PostgresStore(f"postgresql://cachd:hunter2@127.0.0.1:{postgres.port}/nothing")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(LedgerUnavailable) as caught:
        PostgresStore("postgresql://cachd:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(LedgerUnavailable, match="no ledger in .*cachctl init"):
        PostgresStore(postgres.new_database(), readonly=True)
    with pytest.raises(InvalidInput, match="postgresql://USER"):
        PostgresStore("postgresql://[")
    with pytest.raises(InvalidInput, match="plain name"):
        PostgresStore(postgres.url(), schema='x"; DROP TABLE y; --')


def test_another_format_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    PostgresStore(url).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE cachd.head SET format = 2")
    with pytest.raises(LedgerUnavailable, match="has format 2 and this program knows 1"):
        PostgresStore(url)


def test_read_only_writes_nothing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    PostgresStore(url).close()
    store = PostgresStore(url, readonly=True)
    with pytest.raises(LedgerUnavailable, match="read-only"), store.write():
        pass
    store.close()


def test_a_fork_is_told(postgres: PostgresServer) -> None:
    store = PostgresStore(postgres.new_database())
    child = os.fork()
    if child == 0:
        try:
            with store.read():
                os._exit(1)
        except LedgerUnavailable:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    store.close()


def test_two_processes_lose_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    """Each commits some 75 entries at once with the other; the log has all, without a gap."""
    home = tmp_path / "registry"
    registry_core.init(home, ledger=postgres.new_database()).close()
    words = [sys.executable, "-m", "tests.ledger.registering_process", str(home)]
    writers = [subprocess.Popen([*words, name, "50"]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with registry_core.open(home, readonly=True) as registry:
        control = registry.control
        assert isinstance(control, EmbeddedControl)
        with control.ledger.read() as txn:
            records = list(queries.log_records(txn, 0))
            assert [one.sequence for one in records] == list(range(1, 2 + 2 * (1 + 50 + 25) + 1))
            assert check_ledger(txn).clean
        for name in ("a", "b"):
            assert [v.number for v in registry.versions(name)] == list(range(50, 0, -1))
            assert registry.resolve(f"{name}@production").version.number == 49
