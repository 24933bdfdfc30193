"""What ends by its age: versions beyond their model's retention rule, pushes that died."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from registry_core.changes import garbage
from registry_core.changes.versions import delete_version
from registry_core.domain.identifiers import ModelName
from registry_core.errors import Conflict, NotFound
from registry_core.garbage.retention import expired, rule_text
from registry_core.garbage.turn import Turn
from registry_core.ledger import queries, regions
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import IntentRecord, VersionRecord
from registry_core.ledger.store import Reader

ACTOR = "gc"


@dataclass(frozen=True, slots=True)
class Expired:
    """A version that a rule lets go of, and the rule."""

    version: VersionRecord
    reason: str


def find_expired(ledger: Ledger, now_ms: int) -> list[Expired]:
    """Of all models that have a rule, as of now."""
    found = []
    with ledger.read() as txn:
        for model in queries.models(txn):
            if not model.retention:
                continue
            name = ModelName(model.name)
            beyond = expired(
                queries.versions(txn, name), model.retention, set(_named(txn, name)), now_ms
            )
            found += [Expired(version, rule_text(model.retention)) for version in beyond]
    return found


def delete_expired(turn: Turn, found: list[Expired]) -> list[Expired]:
    """Those that could be deleted: a stage may have come to name one, or somebody was faster."""
    return [one for one in found if turn.commit(partial(_delete, one))]


def dead_pushes(pushes: dict[bytes, IntentRecord], old_ms: int) -> dict[bytes, IntentRecord]:
    """Those that began before `old_ms`."""
    return {push: record for push, record in pushes.items() if record.time_ms < old_ms}


def end_dead_pushes(turn: Turn, old_ms: int, change: Change) -> int:
    """End the pushes that began before `old_ms`; they cannot be registered any more. How many."""

    def end(commit: Draft) -> int:
        dead = dead_pushes(garbage.pushes(commit.txn), old_ms)
        for push, record in dead.items():
            garbage.end_push(commit, ModelName(record.model), push, change)
        return len(dead)

    return turn.commit(end)


def _named(txn: Reader, model: ModelName) -> Iterator[int]:
    for stage in queries.stages(txn, model):
        yield stage.version.number
        if stage.previous is not None:
            yield stage.previous.number
    for proposal in queries.proposals(txn, model):
        yield proposal.version.number
    for pin in regions.pins(txn):
        if pin.model == model.text:
            yield pin.number


def _delete(one: Expired, commit: Draft) -> bool:
    name = ModelName(one.version.model)
    try:
        delete_version(commit, name, one.version.number, Change(ACTOR, one.reason, ""))
    except (Conflict, NotFound):
        return False
    return True
