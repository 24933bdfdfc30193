"""A ledger moves to PostgreSQL and back: nothing is lost, and nothing half-made is left."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry_core
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import Conflict, LedgerLocked
from registry_core.home import RegistryHome
from registry_core.ledger import queries
from registry_core.ledger.check import check_ledger
from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Table
from registry_core.migrate import migrate
from tests.cli.cachctl import cachctl
from tests.ledger.postgres_server import PostgresServer
from tests.models import make_model


def contents(home: Path) -> dict[Table, list[tuple[bytes, bytes]]]:
    with registry_core.open(home, readonly=True) as registry:
        control = registry.control
        assert isinstance(control, EmbeddedControl)
        with control.ledger.read() as txn:
            assert check_ledger(txn).clean
            assert len(list(queries.log_records(txn, 0))) > 0
            return {table: list(txn.scan(table)) for table in Table}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with registry_core.init(tmp_path / "registry") as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=1), "m", fields={"metrics.auc": 0.9})
        registry.promote("m@production", 1)
        registry.promote("m@production", 2)
        registry.rollback("m@production")
    return tmp_path / "registry"


def test_there_and_back(home: Path, postgres: PostgresServer) -> None:
    before = contents(home)
    url = postgres.new_database()
    moved = cachctl("migrate", url, "--json", registry=home)
    assert (moved.code, moved.json["ledger"]) == (0, "postgresql"), moved.err
    assert contents(home) == before
    with registry_core.open(home) as registry:
        registry.rollback("m@production")
    after = contents(home)
    assert "before" in cachctl("migrate", "lmdb", registry=home).err
    (home / "ledger").rename(home / "ledger.old")
    back = cachctl("migrate", "lmdb", registry=home)
    assert back.code == 0, back.err
    assert contents(home) == after
    assert RegistryHome.load(home).ledger_url == ""


def test_refusals_change_nothing(home: Path, postgres: PostgresServer, tmp_path: Path) -> None:
    before = contents(home)
    url = postgres.new_database()
    with registry_core.open(home), pytest.raises(LedgerLocked):
        migrate(RegistryHome.load(home), url, lambda *_: None)
    registry_core.init(tmp_path / "other", ledger=url).close()
    with pytest.raises(Conflict, match="holds a ledger"):
        migrate(RegistryHome.load(home), url, lambda *_: None)
    with pytest.raises(Conflict, match="there already"):
        migrate(RegistryHome.load(home), "", lambda *_: None)
    assert cachctl("migrate", "mysql://x", registry=home).code == 2
    assert contents(home) == before


def test_a_copy_that_was_cut_off_is_not_taken_for_a_ledger(
    home: Path, postgres: PostgresServer
) -> None:
    before, url = contents(home), postgres.new_database()

    def cut(what: str, done: int, total: int) -> None:
        if what == "copy stages":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(RegistryHome.load(home), url, cut)
    assert contents(home) == before
    store = PostgresStore(url)
    with store.read() as txn:
        assert txn.get(Table.META, b"size") is None
    store.close()
    migrate(RegistryHome.load(home), url, lambda *_: None)
    assert contents(home) == before, "the second time it goes through"
