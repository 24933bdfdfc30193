"""Moves and choices: each step changes one stage, a request makes one or several, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.domain.entry import Entry, EntryType
from registry_core.domain.identifiers import Guard, ModelName, StageName
from registry_core.domain.move import Move
from registry_core.domain.stage import EMPTY, StageState
from registry_core.errors import GuardMissing, InvalidInput, NotFound
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.entries.stage_entries import moved, stage_json
from registry_core.ledger.records import StageRecord
from registry_core.trust.dsse import Envelope


@dataclass(frozen=True, slots=True)
class MoveStep:
    """A signed move; `guard` is what its decision was made on. With a `split` (per mille) the new
    version answers that share only."""

    move: Move
    envelope: Envelope
    guard: Guard | None
    split: int = 0

    @property
    def model(self) -> ModelName:
        return self.move.model

    @property
    def stage(self) -> StageName:
        return self.move.stage


@dataclass(frozen=True, slots=True)
class ChoiceStep:
    """Toggle the version in force between the two of the stage's current move; or, with a `split`,
    give so many per mille of the requests to the move's version, and the others to the previous."""

    model: ModelName
    stage: StageName
    guard: Guard | None
    split: int | None = None


StageStep = MoveStep | ChoiceStep


def change_stages(commit: Draft, steps: Sequence[StageStep], change: Change) -> list[StageRecord]:
    """The stages after their steps, in order. Stale if any guard does not hold, and none moved."""
    if not 1 <= len(steps) <= limits.STAGES_PER_REQUEST_MAX:
        raise InvalidInput(f"a request changes 1 to {limits.STAGES_PER_REQUEST_MAX} stages")
    if len({(step.model, step.stage) for step in steps}) != len(steps):
        raise InvalidInput("a request changes each stage once")
    earlier = commit.recall(change)
    if earlier is not None:
        return [_made_by(commit, entry) for entry in earlier if _changes_stage(entry)]
    return [
        move_stage(commit, step.move, step.envelope, step.guard, change, split=step.split)
        if isinstance(step, MoveStep)
        else _choose(commit, step, change)
        for step in steps
    ]


def move_stage(
    commit: Draft,
    move: Move,
    envelope: Envelope,
    guard: Guard | None,
    change: Change,
    *,
    split: int = 0,
) -> StageRecord:
    owner = queries.model(commit.txn, move.model)
    before = _guarded(commit, move.model, move.stage, guard)
    if envelope.payload != move.statement():
        raise InvalidInput("the envelope signs another move than the one that was asked for")
    after = before.after_move(move, split)
    commit.append(
        EntryType.STAGE_MOVED,
        subjects.of_stage(move.model, move.stage),
        tag=bytes.fromhex(owner.tag),
        before=stage_json(before),
        after=(stage_json(after) or {}) | {"envelope": envelope.to_json()},
        change=change,
    )
    return _stage(commit, move.model, move.stage)


def _choose(commit: Draft, step: ChoiceStep, change: Change) -> StageRecord:
    owner = queries.model(commit.txn, step.model)
    before = _guarded(commit, step.model, step.stage, step.guard)
    name = f"{step.model}@{step.stage}"
    after = (
        before.after_choice(name) if step.split is None else before.after_split(name, step.split)
    )
    commit.append(
        EntryType.STAGE_CHOSEN,
        subjects.of_stage(step.model, step.stage),
        tag=bytes.fromhex(owner.tag),
        before=stage_json(before),
        after=stage_json(after),
        change=change,
    )
    return _stage(commit, step.model, step.stage)


def _guarded(commit: Draft, model: ModelName, stage: StageName, guard: Guard | None) -> StageState:
    """The stage as it is, if that is what the caller decided on."""
    known = queries.stage(commit.txn, model, stage)
    before = known.state if known else EMPTY
    if guard is not None:
        before.require(guard, f"{model}@{stage}")
    elif queries.policy(commit.txn).rule_for(model, stage).protected:
        raise GuardMissing(
            f"{model}@{stage} is protected: read the stage and send its ETag as If-Match "
            '("0.0" for a stage without any move)'
        )
    return before


def _changes_stage(entry: Entry) -> bool:
    return entry.type in (EntryType.STAGE_MOVED, EntryType.STAGE_CHOSEN)


def _made_by(commit: Draft, entry: Entry) -> StageRecord:
    """The stage as an earlier entry left it."""
    if entry.type is EntryType.STAGE_MOVED:
        return moved(entry, entry.sequence)
    model, _ = subjects.stage_of(entry.subject)
    last_move = next(
        older.sequence
        for older in queries.history(commit.txn, model, newest=limits.INTEGER_MAX)
        if older.sequence < entry.sequence
        and older.subject == entry.subject
        and older.type is EntryType.STAGE_MOVED
    )
    return moved(entry, last_move)


def _stage(commit: Draft, model: ModelName, stage: StageName) -> StageRecord:
    made = queries.stage(commit.txn, model, stage)
    if made is None:
        raise NotFound(f"{model}@{stage} has no move")
    return made
