"""`check` finds what checksums cannot: records that are well formed and say something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry_core.domain.entry import LogRecord
from registry_core.domain.identifiers import ModelName
from registry_core.errors import IntegrityError
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import model_key
from registry_core.ledger.replica import Replica
from registry_core.ledger.store import Table
from registry_core.trust.keys import SigningKey
from tests.ledger.rig import MODEL, ROOT, Books, RawLedger


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """On LMDB, whose file beneath can be changed by hand."""
    store = LmdbStore(tmp_path / "ledger", holder="the test")
    yield Books(store, tmp_path / "origin")
    store.close()


def replaced(raw: RawLedger, table: Table, key: bytes, old: bytes, new: bytes) -> None:
    value = raw.get(table, key)
    assert old in value
    raw.put(table, key, value.replace(old, new))


def change_stage(raw: RawLedger) -> None:
    replaced(raw, Table.STAGES, b"m\0production", b'"choice":2', b'"choice":1')


def change_version(raw: RawLedger) -> None:
    replaced(raw, Table.VERSIONS, b"m\0" + bytes(7) + b"\1", b'"bundle":"', b'"bundle":"00')


def add_version(raw: RawLedger) -> None:
    raw.put(Table.VERSIONS, b"m\0" + bytes(7) + b"\x09", raw.items(Table.VERSIONS)[0][1][8:])


def forget_model(raw: RawLedger) -> None:
    raw.delete(Table.MODELS, model_key(ModelName("other")))


def change_policy(raw: RawLedger) -> None:
    replaced(raw, Table.POLICY, b"current", b'"protected":true', b'"protected":false')


def forget_history(raw: RawLedger) -> None:
    raw.delete(Table.HISTORY, raw.items(Table.HISTORY)[2][0])


def change_reason(raw: RawLedger) -> None:
    replaced(raw, Table.LOG, bytes(7) + b"\5", b'"reason":"a test"', b'"reason":"no test"')


def change_salt(raw: RawLedger) -> None:
    key = bytes(7) + b"\5"
    record = LogRecord.decode(raw.get(Table.LOG, key))
    raw.put(Table.LOG, key, LogRecord(5, record.tag, bytes(32), record.body).encode())


def change_time(raw: RawLedger) -> None:
    key, stored = raw.items(Table.LOG)[4]
    time = json.loads(stored[8 + 57 :])["time"]
    replaced(raw, Table.LOG, key, b"%d" % time, b"%d" % (time + 1))


def forget_last_record(raw: RawLedger) -> None:
    raw.delete(Table.LOG, raw.items(Table.LOG)[-1][0])


def forget_a_record(raw: RawLedger) -> None:
    raw.delete(Table.LOG, raw.items(Table.LOG)[4][0])


def redact_a_record(raw: RawLedger) -> None:
    key = bytes(7) + b"\5"
    raw.put(Table.LOG, key, LogRecord.decode(raw.get(Table.LOG, key)).redacted().encode())


def change_leaf(raw: RawLedger) -> None:
    raw.put(Table.TREE, b"\0" + bytes(7) + b"\1", bytes(32))


def change_inner_node(raw: RawLedger) -> None:
    raw.put(Table.TREE, b"\2" + bytes(8), bytes(32))


def forget_node(raw: RawLedger) -> None:
    raw.delete(Table.TREE, b"\1" + bytes(8))


def change_size(raw: RawLedger) -> None:
    raw.put(Table.META, b"size", bytes(7) + b"\4")


def cut_checkpoint(raw: RawLedger) -> None:
    replaced(raw, Table.META, b"checkpoint", b"\ntime 1", b"\ntime 2")


def change_digest(raw: RawLedger) -> None:
    state = raw.get(Table.META, b"tables")
    raw.put(Table.META, b"tables", state[:-1] + bytes([state[-1] ^ 1]))


def forget_checkpoint(raw: RawLedger) -> None:
    raw.delete(Table.META, b"checkpoint")


def forget_root(raw: RawLedger) -> None:
    raw.delete(Table.META, b"root")


def replace_root(raw: RawLedger) -> None:
    root = json.loads(raw.get(Table.META, b"root"))
    root["authority"] = SigningKey.generate_ed25519().public_pem
    raw.put(Table.META, b"root", json.dumps(root, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (change_stage, "table stages differs"), (change_version, "table versions differs"),
        (add_version, "table versions differs"), (forget_model, "table models differs"),
        (change_policy, "table policy differs"), (forget_history, "table history differs"),
        (change_reason, "checkpoint is not of this log"), (change_salt, "table tree differs"),
        (change_time, "checkpoint is not of this log"),
        (forget_last_record, "the log ends at 13 and claims 14"),
        (forget_a_record, "out of order"), (redact_a_record, "is redacted"),
        (change_leaf, "table tree differs"), (change_inner_node, "table tree differs"),
        (forget_node, "table tree differs"), (change_size, "and claims 4"),
        (change_digest, "kept digest of the tables"),
        (cut_checkpoint, "not by this registry's authority"),
        (forget_checkpoint, "no signed checkpoint"), (forget_root, "no root document"),
        (replace_root, "names another root"),
    ],
)  # fmt: skip
def test_finds(
    books: Books, tmp_path: Path, tamper: Callable[[RawLedger], None], told: str
) -> None:
    books.live()
    assert books.check().problems == []
    books.store.close()
    with RawLedger(tmp_path / "ledger") as raw:
        tamper(raw)
    store = LmdbStore(tmp_path / "ledger")
    if tamper is forget_root:  # to open the books again would begin them anew
        books.store = store
    else:
        books = Books(store, tmp_path / "origin")
    report = books.check()
    store.close()
    assert told in "; ".join(report.problems)


def test_a_log_rewritten_with_all_that_hangs_on_it_fails_at_its_checkpoint(
    books: Books, tmp_path: Path
) -> None:
    """Somebody without the authority's key writes another history: tree, tables and all."""
    books.live()
    honest = books.note()
    books.store.close()
    forged = Books(
        LmdbStore(tmp_path / "forged"), tmp_path / "origin", SigningKey.generate_ed25519()
    )
    forged.live()
    assert "not by this registry's authority" in "; ".join(forged.check().problems)
    forged.store.close()
    with RawLedger(tmp_path / "forged") as raw:
        raw.put(Table.META, b"checkpoint", honest)
    store = LmdbStore(tmp_path / "forged")
    assert "not of this log" in "; ".join(Books(store, tmp_path / "origin").check().problems)
    store.close()


def test_an_old_checkpoint_is_found(books: Books, tmp_path: Path) -> None:
    books.live()
    old = books.note()
    books.add_version()
    books.store.close()
    with RawLedger(tmp_path / "ledger") as raw:
        raw.put(Table.META, b"checkpoint", old)
    store = LmdbStore(tmp_path / "ledger")
    report = Books(store, tmp_path / "origin").check()
    store.close()
    assert report.problems == ["the signed checkpoint is not of this log"]


def test_damage_is_told_as_a_problem_or_as_damage(books: Books, tmp_path: Path) -> None:
    books.live()
    books.store.close()
    with RawLedger(tmp_path / "ledger") as raw:
        records = [(table, key, value) for table in Table for key, value in raw.items(table)]
    for table, key, stored in records:
        with RawLedger(tmp_path / "ledger") as raw:
            raw.put_stored(table, key, stored[:-1] + bytes([stored[-1] ^ 1]))
        store = LmdbStore(tmp_path / "ledger")
        books.store = store
        try:
            assert not books.check().clean, (table, key)
        except IntegrityError as error:
            assert f"table {table}" in str(error)  # noqa: PT017  # either way is right
        finally:
            store.close()
        with RawLedger(tmp_path / "ledger") as raw:
            raw.put_stored(table, key, stored)


def test_progress_and_count(books: Books) -> None:
    books.live()
    seen: list[tuple[int, int]] = []
    with books.store.read() as txn:
        report = check_ledger(txn, lambda done, total: seen.append((done, total)))
    assert (report.entries, report.clean) == (14, True)
    assert seen == [(done, 14) for done in range(1, 15)]


def test_the_replay_of_the_log_gives_the_tables(books: Books, tmp_path: Path) -> None:
    """Byte for byte, through a second store."""
    books.live()
    copy = MemoryStore()
    Replica(copy, ROOT).apply(books.records(), books.note())
    with books.store.read() as ours, copy.read() as theirs:
        for table in Table:
            assert list(ours.scan(table)) == list(theirs.scan(table)), table
    assert books.control.find_model(MODEL) is not None
