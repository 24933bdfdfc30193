"""A replica applies what a signed checkpoint covers, all of it or nothing, and refuses the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from registry_core.domain import canonical, merkle
from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.entry import LogRecord
from registry_core.errors import IntegrityError, InvalidInput, RegistryError, Unauthorized
from registry_core.ledger import queries
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.replica import ForkDetected, Replica
from registry_core.ledger.store import Table
from registry_core.trust.keys import SigningKey
from registry_core.trust.note import sign_checkpoint, verify_checkpoint
from registry_core.trust.policy import make_root
from tests.ledger.rig import AUTHORITY, MODEL, OWNER, PRODUCTION, REGISTRY, ROOT, Books


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    made = Replica(LmdbStore(tmp_path / "replica"), ROOT)
    yield made
    made.close()


def note_of(size: int, root: bytes, key: SigningKey = AUTHORITY, time_ms: int = 1) -> bytes:
    return sign_checkpoint(Checkpoint(REGISTRY, size, root, time_ms), key)


def holding(replica: Replica) -> tuple[int, Checkpoint | None, list[tuple[bytes, bytes]]]:
    with replica.read() as txn:
        return replica.size(), replica.checkpoint(), list(txn.scan(Table.STAGES))


def test_applies_batch_after_batch(books: Books, replica: Replica) -> None:
    seen = 0
    for _ in range(4):
        books.promote(books.add_version())
        checkpoint = replica.apply(books.records(seen), books.note())
        seen = checkpoint.size
        assert replica.size() == seen == len(books.records())
        assert replica.checkpoint() == verify_checkpoint(books.note(), ROOT)
    with replica.read() as txn:
        stage = queries.stage(txn, MODEL, PRODUCTION)
        assert stage == books.stage()
        assert check_ledger(txn).problems == []


def test_an_empty_batch_brings_a_newer_time(books: Books, replica: Replica) -> None:
    replica.apply(books.records(), books.note())
    before = replica.checkpoint()
    books.ledger.refresh_checkpoint()
    after = replica.apply([], books.note())
    assert before is not None
    assert (after.size, after.root) == (before.size, before.root)
    assert after.time_ms > before.time_ms


def test_resumes_where_it_was_closed(books: Books, tmp_path: Path) -> None:
    books.live()
    first = Replica(LmdbStore(tmp_path / "replica"), ROOT)
    held = first.apply(books.records(), books.note())
    first.close()
    books.add_version()
    again = Replica(LmdbStore(tmp_path / "replica"), ROOT)
    assert again.checkpoint() == held
    again.apply(books.records(again.size()), books.note())
    assert again.size() == held.size + 1
    again.close()


def test_another_root_is_refused(tmp_path: Path, replica: Replica) -> None:
    replica.close()
    other = make_root(REGISTRY, OWNER, SigningKey.generate_ed25519())
    store = LmdbStore(tmp_path / "replica")
    with pytest.raises(InvalidInput, match="use an empty directory"):
        Replica(store, other)
    store.close()


def test_a_log_of_another_root_is_refused(books: Books) -> None:
    other = make_root(REGISTRY, SigningKey.generate_p256(), AUTHORITY)
    with pytest.raises(IntegrityError, match="names another root"):
        Replica(MemoryStore(), other).apply(books.records(), books.note())


@pytest.mark.parametrize(
    "damage",
    [
        "missing", "missing at the end", "beyond the checkpoint", "reordered", "twice", "altered",
        "altered in salt", "altered in tag", "redacted", "wrong signature", "wrong size",
    ],
)  # fmt: skip
def test_refuses_and_keeps_what_it_has(books: Books, replica: Replica, damage: str) -> None:
    replica.apply(books.records(), books.note())
    before, size = holding(replica), replica.size()
    books.live()
    records, note = list(books.records(size)), books.note()
    good = list(records), note
    if damage == "missing":
        del records[2]
    elif damage == "missing at the end":
        del records[-1]
    elif damage == "beyond the checkpoint":
        books.add_version()
        records = list(books.records(size))
    elif damage == "reordered":
        records[1], records[2] = records[2], records[1]
    elif damage == "twice":
        records.insert(1, records[0])
    elif damage == "altered":
        body = records[3].body
        assert body is not None
        records[3] = replace(records[3], body=body.replace(b"a test", b"no test"))
    elif damage == "altered in salt":
        records[3] = replace(records[3], secret=bytes(32))
    elif damage == "altered in tag":
        records[3] = replace(records[3], tag=bytes(16))
    elif damage == "redacted":
        records[3] = records[3].redacted()
    elif damage == "wrong signature":
        known = verify_checkpoint(note, ROOT)
        note = note_of(known.size, known.root, SigningKey.generate_ed25519())
    elif damage == "wrong size":
        known = verify_checkpoint(note, ROOT)
        note = note_of(known.size + 1, known.root)
    for attempt in (replica.apply, lambda r, n: replica.preview(r, n, lambda txn: None)):
        with pytest.raises(RegistryError):
            attempt(records, note)
        assert holding(replica) == before
    replica.apply(*good)


def test_a_signature_by_another_key_is_named(books: Books, replica: Replica) -> None:
    note = note_of(2, bytes(32), SigningKey.generate_ed25519())
    with pytest.raises(Unauthorized, match="not by this registry's authority"):
        replica.apply(books.records(), note)


def test_a_shorter_log_is_a_fork(books: Books, replica: Replica) -> None:
    old = books.note()
    books.live()
    replica.apply(books.records(), books.note())
    with pytest.raises(ForkDetected, match="shorter log"):
        replica.apply([], old)


def test_another_root_at_the_same_size_is_a_fork(books: Books, replica: Replica) -> None:
    books.live()
    held = replica.apply(books.records(), books.note())
    with pytest.raises(ForkDetected, match="contradicts its checkpoint"):
        replica.apply([], note_of(held.size, bytes(32)))


def test_another_history_by_the_same_authority_is_a_fork(
    books: Books, replica: Replica, tmp_path: Path
) -> None:
    """The authority's key signs two logs: the second is refused by whoever holds the first."""
    books.live()
    replica.apply(books.records(), books.note())
    store = LmdbStore(tmp_path / "second")
    second = Books(store, tmp_path / "origin")
    second.live()
    second.add_version()
    records = second.records(replica.size())
    with pytest.raises(RegistryError):
        replica.apply(records, second.note())
    store.close()


def test_a_move_that_no_promoter_signed_is_refused(books: Books, replica: Replica) -> None:
    """Whoever has the authority's key alone can write a log, but no move that nodes would follow:
    the statement says another version than the entry, or the entry another than the statement."""
    books.promote(books.add_version())
    other = books.add_version()
    records = list(books.records())
    moved = next(r for r in records if r.body is not None and b'"stage.moved"' in r.body)
    assert moved.body is not None
    doc = canonical.decode(moved.body, bytes_max=1 << 20, what="entry")
    doc["after"]["version"] = {"number": other.number, "digest": other.digest}
    forged = LogRecord(moved.sequence, moved.tag, moved.secret, canonical.encode(doc))
    at = records.index(moved)
    ending = [*records[:at], forged]
    note = note_of(len(ending), _root_of(ending))
    with pytest.raises(IntegrityError, match="another outcome than its move"):
        replica.apply(ending, note)
    assert replica.size() == 0


def _root_of(records: list[LogRecord]) -> bytes:
    return merkle.root_of(record.leaf_hash for record in records)


def test_preview_shows_what_apply_would_and_keeps_nothing(books: Books, replica: Replica) -> None:
    replica.apply(books.records(), books.note())
    before, size = holding(replica), replica.size()
    books.live()
    records, note = books.records(size), books.note()
    seen = replica.preview(records, note, lambda txn: queries.stage(txn, MODEL, PRODUCTION))
    assert seen == books.stage()
    assert holding(replica) == before
    replica.apply(records, note)
    with replica.read() as txn:
        assert queries.stage(txn, MODEL, PRODUCTION) == seen
