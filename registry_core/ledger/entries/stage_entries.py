"""stage.moved and stage.chosen: the only ways in which a stage changes.

A choice puts one of the two versions in force, or splits the requests between them: which, is what
its outcome says.
"""

from __future__ import annotations

from typing import Any

import msgspec

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.policy import Root
from registry_core.domain.split import WHOLE
from registry_core.domain.stage import EMPTY, StageState
from registry_core.ledger import queries, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.entries.split import split_of
from registry_core.ledger.evidence import require_evidence
from registry_core.ledger.records import (
    PointRecord,
    StageRecord,
    encode,
    of_stage,
    stage_key,
)
from registry_core.ledger.store import Table, Writer
from registry_core.trust.dsse import Envelope
from registry_core.trust.move import verify_move


def stage_json(state: StageState) -> dict[str, Any] | None:
    """A stage as `before` and `after` of an entry show it."""
    if state.version is None:
        return None
    shown = {
        "generation": state.generation,
        "choice": state.choice,
        "version": state.version.to_json(),
        "previous": state.previous.to_json() if state.previous else None,
    }
    return shown | ({"split": state.split} if state.split else {})


def stage_moved(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    policy = queries.policy(txn)
    move = verify_move(Envelope.from_json(entry.after["envelope"]), policy)
    require(entry.subject == subjects.of_stage(move.model, move.stage), entry, "names two stages")
    registered = queries.version(txn, move.model, move.version.number)
    require(registered.point == move.version, entry, "moves to a version that is another")
    require(not registered.deleted_ms, entry, "moves to a version that was deleted")
    require_evidence(policy.rule_for(move.model, move.stage), registered)
    before = _stage_before(txn, entry, move.model, move.stage)
    after = before.after_move(move, split_of(entry))
    require(
        {k: v for k, v in entry.after.items() if k != "envelope"} == stage_json(after),
        entry,
        "claims another outcome than its move has",
    )
    _put_stage(txn, moved(entry, entry.sequence))


def stage_chosen(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, stage = subjects.stage_of(entry.subject)
    before = _stage_before(txn, entry, model, stage)
    share = split_of(entry) or (0 if entry.after["choice"] % 2 else WHOLE)
    after = before.after_split(f"{model}@{stage}", share)
    require(entry.after == stage_json(after), entry, "claims another outcome than a choice has")
    known = queries.stage(txn, model, stage)
    _put_stage(txn, moved(entry, known.move_sequence if known else 0))


def moved(entry: Entry, move_sequence: int) -> StageRecord:
    """The stage that a `stage.moved` or `stage.chosen` entry made."""
    model, stage = subjects.stage_of(entry.subject)
    after = entry.after
    return StageRecord(
        model=model.text,
        stage=stage.text,
        generation=after["generation"],
        choice=after["choice"],
        version=msgspec.convert(after["version"], PointRecord),
        previous=msgspec.convert(after["previous"], PointRecord | None),
        move_sequence=move_sequence,
        sequence=entry.sequence,
        changed_ms=entry.time_ms,
        actor=entry.actor,
        reason=entry.reason,
        split=split_of(entry),
    )


def _stage_before(txn: Writer, entry: Entry, model: ModelName, stage: StageName) -> StageState:
    known = queries.stage(txn, model, stage)
    state = known.state if known else EMPTY
    require(entry.before == stage_json(state), entry, "was made for another state of the stage")
    return state


def _put_stage(txn: Writer, stage: StageRecord) -> None:
    """Any change of a stage voids what was proposed for the state before it."""
    model, name = ModelName(stage.model), StageName(stage.stage)
    txn.put(Table.STAGES, stage_key(model, name), encode(stage))
    for key, _ in list(txn.scan(Table.PROPOSALS, of_stage(model, name))):
        txn.delete(Table.PROPOSALS, key)
