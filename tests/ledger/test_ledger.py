"""The writable ledger: all or nothing, judged by the policy, a `state` entry every 10,000."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from registry_core.domain import limits
from registry_core.domain.entry import REGISTRY_TAG, TAG_BYTES, EntryType
from registry_core.domain.identifiers import Guard, ModelName, StageName
from registry_core.domain.policy import Policy, StageRule
from registry_core.errors import (
    Conflict,
    IntegrityError,
    InvalidInput,
    LedgerUnavailable,
    NotFound,
    RegistryError,
    Stale,
    Unauthorized,
)
from registry_core.ledger import log, queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.digest import tables_digest
from registry_core.ledger.draft import Draft
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.replica import Replica
from registry_core.trust.keys import SigningKey
from registry_core.trust.move import sign_move
from registry_core.trust.note import verify_checkpoint
from registry_core.trust.policy import sign_policy
from tests.ledger.rig import (
    CHANGE,
    MODEL,
    OWNER,
    POLICY,
    PRODUCTION,
    PROMOTER,
    ROOT,
    STAGER,
    Books,
)


@pytest.fixture
def memory(tmp_path: Path) -> Books:
    """A ledger that nothing waits for the disk for."""
    return Books(MemoryStore(), tmp_path / "origin")


def test_every_commit_is_covered_by_a_checkpoint(memory: Books) -> None:
    for _ in range(5):
        memory.add_version()
        with memory.ledger.read() as txn:
            checkpoint = verify_checkpoint(memory.note(), ROOT)
            assert (checkpoint.size, checkpoint.root) == (log.log_size(txn), log.log_root(txn))


def test_a_commit_that_raises_leaves_nothing(books: Books) -> None:
    books.live()
    size, note = len(books.records()), books.note()

    def half(draft: Draft) -> None:
        draft.append(
            EntryType.MODEL_CREATED, subjects.of_model(ModelName("new")), tag=bytes(15) + b"\1",
            before=None, after={"name": "new"}, change=CHANGE,
        )  # fmt: skip
        raise KeyError

    with pytest.raises(KeyError):
        books.ledger.commit(half)
    assert (len(books.records()), books.note()) == (size, note)
    assert books.control.find_model(ModelName("new")) is None
    assert books.check().problems == []


def test_without_the_authoritys_key_nothing_is_written() -> None:
    ledger = Ledger(MemoryStore(), ROOT, None, lambda: 1)
    with pytest.raises(LedgerUnavailable, match="open it for writing"):
        ledger.commit(lambda draft: None)


def test_the_ten_thousandth_entry_tells_the_tables(memory: Books) -> None:
    """Models are made until the log has more than 10,000 entries; then one that lies is refused."""
    needed = limits.ENTRIES_PER_STATE - len(memory.records())

    def make_models(draft: Draft) -> None:
        for number in range(needed):
            draft.append(
                EntryType.MODEL_CREATED, f"model/m{number}", tag=number.to_bytes(TAG_BYTES, "big"),
                before=None, after={"name": f"m{number}"}, change=CHANGE,
            )  # fmt: skip

    # The last of these models comes after the state entry, which took its place.
    memory.ledger.commit(make_models)
    records = memory.records()
    state = records[limits.ENTRIES_PER_STATE - 1].entry()
    assert [r.sequence for r in records if r.entry().type is EntryType.STATE] == [10_000]
    assert len(records) == limits.ENTRIES_PER_STATE + 1

    replica = Replica(MemoryStore(), ROOT)
    replica.apply(records, memory.note())
    assert replica.size() == len(records)
    before = MemoryStore()
    with before.write() as txn:
        for record in records[: limits.ENTRIES_PER_STATE - 1]:
            log.append(txn, ROOT, record, record.entry())
        assert state.after == {"tables": str(tables_digest(txn))}
    assert memory.check().problems == []


def test_a_state_entry_that_lies_is_refused(memory: Books) -> None:
    with pytest.raises(IntegrityError, match="other tables than these"):
        append(memory, EntryType.STATE, subjects.REGISTRY, {"tables": "sha256:" + "00" * 32})


def append(
    books: Books, kind: EntryType, subject: str, after: Any, *, tag: bytes | None = None,
    before: Any = None,
) -> None:  # fmt: skip
    """Append an entry as an authority that has gone wrong would."""
    if tag is None:
        model = subjects.model_of(subject)
        found = books.control.find_model(model) if model else None
        tag = bytes.fromhex(found.tag) if found else REGISTRY_TAG
    given = tag
    books.ledger.commit(
        lambda draft: draft.append(
            kind, subject, tag=given, before=before, after=after, change=CHANGE
        )
    )


VERSION = {
    "model": "m", "number": 2, "digest": "sha256:" + "11" * 32, "bytes": 1, "files": 1,
    "chunk_bytes": 1 << 20, "bundle": "22" * 32, "publisher": "", "tags": {}, "notes": "",
}  # fmt: skip
STATE = {"generation": 2, "choice": 0, "version": None, "previous": None}


@pytest.mark.parametrize(
    ("kind", "subject", "after"),
    [
        (EntryType.REGISTRY_CREATED, "registry", {"registry": "ab" * 16, "root": str(ROOT.digest)}),
        (EntryType.POLICY_SET, "registry", {"envelope": sign_policy(POLICY, PROMOTER).to_json()}),
        (EntryType.POLICY_SET, "registry", {"envelope": {}}),
        (EntryType.POLICY_SET, "registry", None),
        (EntryType.MODEL_CREATED, "model/m", {"name": "m"}),
        (EntryType.MODEL_CREATED, "model/x", {"name": "y"}),
        (EntryType.MODEL_CREATED, "model/X", {"name": "X"}),
        (EntryType.MODEL_CREATED, "model/x", {}),
        (EntryType.VERSION_REGISTERED, "model/m/version/3", VERSION | {"number": 3}),
        (EntryType.VERSION_REGISTERED, "model/m/version/1", VERSION | {"number": 1}),
        (EntryType.VERSION_REGISTERED, "model/m/version/3", VERSION),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"publisher": "ab" * 32}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"chunk_bytes": 4 << 20}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"bundle": "xyz"}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"more": 1}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"bytes": "1"}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", VERSION | {"tags": {"a": 1}}),
        (EntryType.VERSION_REGISTERED, "model/m/version/2", [1]),
        (EntryType.VERSION_REGISTERED, "model/none/version/1", VERSION),
        (EntryType.STAGE_MOVED, "model/m/stage/production", STATE | {"envelope": {}}),
        (EntryType.STAGE_MOVED, "model/m/stage/production", STATE),
        (EntryType.STAGE_CHOSEN, "model/m/stage/production", STATE),
        (EntryType.STAGE_CHOSEN, "model/m/stage/other", STATE),
        (EntryType.STAGE_CHOSEN, "model/m", STATE),
        (EntryType.STATE, "registry", None),
        (EntryType.MODEL_CREATED, "nonsense", {"name": "x"}),
    ],
)
def test_entries_that_no_reader_would_accept_cannot_be_written(
    memory: Books, kind: EntryType, subject: str, after: Any
) -> None:
    first = memory.add_version()
    memory.promote(first)
    if isinstance(after, dict) and after.get("publisher") == "":
        after = after | {"publisher": first.publisher}
    before = memory.records()
    with pytest.raises(RegistryError):
        append(memory, kind, subject, after)
    assert memory.records() == before
    assert memory.check().problems == []


def test_the_same_entries_unharmed_are_accepted(memory: Books) -> None:
    publisher = memory.add_version().publisher
    append(memory, EntryType.MODEL_CREATED, "model/x", {"name": "x"}, tag=b"x" * 16)
    append(
        memory,
        EntryType.VERSION_REGISTERED,
        "model/m/version/2",
        VERSION | {"publisher": publisher},
    )
    assert memory.check().problems == []


def test_an_entry_under_another_models_tag_is_refused(memory: Books) -> None:
    memory.add_version()
    for tag in (bytes(16), b"x" * 16):
        with pytest.raises(IntegrityError, match="tag of another model"):
            append(memory, EntryType.STAGE_CHOSEN, "model/m/stage/s", STATE, tag=tag)
    with pytest.raises(IntegrityError, match="carries a model's tag"):
        append(memory, EntryType.STATE, "registry", {}, tag=b"x" * 16)


def test_moves_are_judged(memory: Books) -> None:
    first, second = memory.add_version(), memory.add_version()
    memory.promote(first)
    move, envelope, guard = memory.signed_move(second)
    with pytest.raises(Stale, match=r"is at 1\.0, not at 0\.0"):
        memory.control.move(move, envelope, Guard(0, 0), CHANGE)
    for wrong in (OWNER, STAGER, SigningKey.generate_p256()):
        with pytest.raises(Unauthorized, match="needs 1 signature"):
            memory.control.move(move, sign_move(move, wrong), guard, CHANGE)
    with pytest.raises(Unauthorized, match="role promoter"):
        memory.control.move(move, None, guard, CHANGE)
    other, other_envelope, _ = memory.signed_move(first, StageName("other"))
    with pytest.raises(InvalidInput, match="signs another move"):
        memory.control.move(move, other_envelope, guard, CHANGE)
    memory.control.move(move, envelope, guard, CHANGE)
    with pytest.raises(Stale):
        memory.control.move(move, envelope, Guard(2, 0), CHANGE)
    memory.control.move(other, other_envelope, Guard(0, 0), CHANGE)


def test_a_move_to_what_is_no_version_is_refused(memory: Books, tmp_path: Path) -> None:
    version = memory.add_version()
    elsewhere = Books(MemoryStore(), tmp_path / "elsewhere").add_version()
    assert elsewhere.number == version.number
    move, envelope, guard = memory.signed_move(elsewhere)
    with pytest.raises(IntegrityError, match="moves to a version that is another"):
        memory.control.move(move, envelope, guard, CHANGE)


def test_another_policy_voids_signatures_made_before(memory: Books) -> None:
    version = memory.add_version()
    move, envelope, guard = memory.signed_move(version)
    rules = (StageRule("*", "*", "promoter", 1, protected=True),)
    stricter = Policy(POLICY.registry, POLICY.keys, POLICY.roles, rules)
    after = {"envelope": sign_policy(stricter, OWNER).to_json()}
    with pytest.raises(IntegrityError, match="under another policy"):
        append(memory, EntryType.POLICY_SET, "registry", after, before=None)
    append(memory, EntryType.POLICY_SET, "registry", after, before=str(POLICY.digest))
    with pytest.raises(Unauthorized, match="signed under policy"):
        memory.control.move(move, envelope, guard, CHANGE)
    with memory.ledger.read() as txn:
        assert queries.policy(txn) == stricter
    assert memory.check().problems == []


def test_choices_and_what_they_need(memory: Books) -> None:
    with pytest.raises(NotFound, match="no model m"):
        memory.control.choose(MODEL, PRODUCTION, Guard(0, 0), CHANGE)
    memory.promote(memory.add_version())
    with pytest.raises(Conflict, match="no previous version"):
        memory.control.choose(MODEL, PRODUCTION, Guard(1, 0), CHANGE)
    memory.promote(memory.add_version())
    assert str(memory.rollback().guard) == "2.1"
    with pytest.raises(Stale):
        memory.control.choose(MODEL, PRODUCTION, Guard(2, 0), CHANGE)
    assert str(memory.rollback().guard) == "2.2"


@pytest.mark.parametrize(("actor", "reason"), [("", ""), ("x" * 257, ""), ("x", "r" * 1025)])
def test_words_are_bounded(actor: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="characters"):
        Change(actor, reason, "id")


def test_history_is_per_model_and_newest_first(memory: Books) -> None:
    memory.live()
    entries = memory.control.history(MODEL, newest=3)
    assert [entry.type for entry in entries] == ["stage.chosen", "stage.chosen", "stage.moved"]
    assert [entry.after["choice"] for entry in entries] == [2, 1, 0]
    assert memory.control.history(MODEL, newest=100)[-1].type == "model.created"
    assert {e.subject.split("/")[1] for e in memory.control.history(MODEL, newest=100)} == {"m"}
