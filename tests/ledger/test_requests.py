"""Idempotency keys and several stages in one request."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from registry_core.changes.stages import ChoiceStep, MoveStep, StageStep
from registry_core.domain import limits
from registry_core.domain.identifiers import Guard, ModelName, StageName
from registry_core.errors import GuardMissing, IdempotencyMismatch, InvalidInput, Stale
from registry_core.ledger.change import Change
from tests.ledger.rig import CHANGE, MODEL, PRODUCTION, Books

ASKED = sha256(b"promote").hexdigest()
KEYED = Change("tester", "why", "key-1", ASKED)
STAGING = StageName("staging")


def step(books: Books, model: str = "m", stage: StageName = PRODUCTION) -> MoveStep:
    return MoveStep(*books.signed_move(books.add_version(ModelName(model)), stage))


def test_the_same_request_again_is_answered_and_changes_nothing(books: Books) -> None:
    made = step(books)
    first = books.control.change_stages([made], KEYED)
    books.promote(books.add_version())
    size = len(books.records())
    assert books.control.change_stages([made], KEYED) == first, "as it was then, not as it is now"
    assert len(books.records()) == size
    chosen = Change("tester", "", "key-2", ASKED)
    back = [ChoiceStep(MODEL, PRODUCTION, Guard(2, 0))]
    assert books.control.change_stages(back, chosen) == books.control.change_stages(back, chosen)
    stage = books.stage()
    assert stage is not None
    assert stage.choice == 1
    assert books.check().clean


def test_a_key_belongs_to_one_request_of_one_actor(books: Books) -> None:
    books.control.change_stages([step(books)], KEYED)
    other = replace(KEYED, body=sha256(b"something else").hexdigest())
    with pytest.raises(IdempotencyMismatch, match="key-1"):
        books.control.change_stages([step(books)], other)
    books.control.change_stages([step(books)], replace(other, actor="somebody else"))
    assert books.check().clean


def test_a_failed_request_is_not_remembered(books: Books) -> None:
    made = step(books)
    with pytest.raises(Stale):
        books.control.change_stages([replace(made, guard=Guard(7, 0))], KEYED)
    other = replace(KEYED, body=sha256(b"corrected").hexdigest())
    assert books.control.change_stages([made], other)[0].generation == 1


def test_a_key_is_forgotten_after_a_day(books: Books) -> None:
    now = iter([1_800_000_000_000, 1_800_000_000_000 + limits.REQUESTS_REPLAYED_MS + 2] * 9)
    books.ledger._clock_ms = lambda: next(now)
    made = step(books)
    later = iter(range(1_900_000_000_000, 2_000_000_000_000, limits.REQUESTS_REPLAYED_MS + 1))
    books.ledger._clock_ms = lambda: next(later)
    books.control.change_stages([made], KEYED)
    with pytest.raises(Stale):
        books.control.change_stages([made], KEYED)


@pytest.mark.parametrize("key", ["", "with space", "hash#", "x" * 129, "ä", "nl\n"])
def test_bad_keys(key: str) -> None:
    with pytest.raises(InvalidInput):
        Change("tester", "", key, ASKED)


def test_several_stages_move_together(books: Books) -> None:
    books.promote(books.add_version())
    books.promote(books.add_version())
    steps: list[StageStep] = [
        step(books, "other"),
        step(books, "m", STAGING),
        ChoiceStep(MODEL, PRODUCTION, Guard(2, 0)),
    ]
    notes = books.note()
    made = books.control.change_stages(steps, KEYED)
    assert [(s.model, s.stage, s.generation, s.choice) for s in made] == [
        ("other", "production", 1, 0), ("m", "staging", 1, 0), ("m", "production", 2, 1),
    ]  # fmt: skip
    assert books.note() != notes
    assert books.control.change_stages(steps, KEYED) == made
    assert books.check().clean


def test_several_stages_move_or_none(books: Books) -> None:
    good, bad = step(books, "one"), step(books, "two")
    size = len(books.records())
    with pytest.raises(Stale):
        books.control.change_stages([good, replace(bad, guard=Guard(3, 1))], CHANGE)
    assert len(books.records()) == size
    assert books.stage(ModelName("one")) is None
    with pytest.raises(InvalidInput, match="each stage once"):
        books.control.change_stages([good, good], CHANGE)
    with pytest.raises(InvalidInput, match="1 to"):
        books.control.change_stages([], CHANGE)
    assert books.check().clean


def test_a_guard_may_be_left_out_where_the_stage_is_not_protected(books: Books) -> None:
    with pytest.raises(GuardMissing, match="If-Match"):
        books.control.change_stages([replace(step(books), guard=None)], CHANGE)
    made = books.control.change_stages([replace(step(books, stage=STAGING), guard=None)], CHANGE)
    assert made[0].generation == 1
