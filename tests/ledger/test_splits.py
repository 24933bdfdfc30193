"""Splits in the log of either store: replayed, recalled, and refused where they do not follow."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from registry_core.changes.stages import ChoiceStep, MoveStep
from registry_core.domain.entry import EntryType
from registry_core.domain.identifiers import Guard
from registry_core.errors import GuardMissing, RegistryError, Stale
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.entries.stage_entries import stage_json
from tests.ledger.rig import CHANGE, MODEL, PRODUCTION, Books


def split_of(books: Books) -> tuple[str, int]:
    stage = books.stage()
    assert stage is not None
    return str(stage.guard), stage.split


def test_moved_split_raised_and_over(books: Books) -> None:
    books.promote(books.add_version())
    move = MoveStep(*books.signed_move(books.add_version()))
    made = books.control.change_stages([replace(move, split=50)], CHANGE)
    assert (str(made[0].guard), made[0].split) == ("2.1", 50)
    assert [one.entry().type for one in books.records()[-1:]] == [EntryType.STAGE_MOVED]
    books.control.split(MODEL, PRODUCTION, 500, Guard(2, 1), CHANGE)
    assert split_of(books) == ("2.3", 500)
    with pytest.raises(Stale):
        books.control.split(MODEL, PRODUCTION, 600, Guard(2, 1), CHANGE)
    with pytest.raises(GuardMissing):
        books.control.split(MODEL, PRODUCTION, 600, None, CHANGE)
    books.control.split(MODEL, PRODUCTION, 1000, Guard(2, 3), CHANGE)
    assert split_of(books) == ("2.4", 0)
    assert books.check().clean


def test_the_same_request_again_sets_no_second_split(books: Books) -> None:
    books.promote(books.add_version())
    books.promote(books.add_version())
    asked = Change("tester", "", "key-1", sha256(b"split").hexdigest())
    step = [ChoiceStep(MODEL, PRODUCTION, Guard(2, 0), 50)]
    first = books.control.change_stages(step, asked)
    books.control.split(MODEL, PRODUCTION, 500, first[0].guard, CHANGE)
    assert books.control.change_stages(step, asked) == first, "as it was then"
    assert split_of(books) == ("2.3", 500)


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": 2, "split": 50},
        {"choice": 5, "split": 50},
        {"split": 0},
        {"split": 1000},
        {"split": 1001},
        {"split": -1},
        {"split": True},
        {"split": "50"},
        {"split": None},
        {"split": 50, "generation": 3},
    ],
)
def test_an_outcome_that_does_not_follow_is_refused(books: Books, wrong: dict[str, Any]) -> None:
    books.promote(books.add_version())
    moved = books.promote(books.add_version())
    before = moved.state
    after = (stage_json(before.after_split("m@production", 50)) or {}) | wrong

    def append(commit: Draft) -> None:
        commit.append(
            EntryType.STAGE_CHOSEN, "model/m/stage/production", tag=tag,
            before=stage_json(before), after=after, change=CHANGE,
        )  # fmt: skip

    found = books.control.find_model(MODEL)
    assert found is not None
    tag = bytes.fromhex(found.tag)
    with pytest.raises(RegistryError):
        books.ledger.commit(append)
    assert split_of(books) == ("2.0", 0)
