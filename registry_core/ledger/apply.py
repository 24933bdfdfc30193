"""How one log entry changes the tables, and when it may not. The only writer of derived tables.

The authority, every replica and `check` run this same code, so a state that replay would not
accept cannot be committed: a move is judged here by the policy at its position in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from registry_core.domain.entry import REGISTRY_TAG, Entry, EntryType, LogRecord
from registry_core.domain.identifiers import (
    Digest,
    ModelName,
    StageName,
    parse_hex32,
    parse_version_number,
)
from registry_core.domain.policy import PUBLISHER, Root
from registry_core.domain.stage import EMPTY, StageState
from registry_core.errors import Conflict, IntegrityError, InvalidInput
from registry_core.ledger import queries, subjects
from registry_core.ledger.digest import tables_digest
from registry_core.ledger.records import (
    ModelRecord,
    PointRecord,
    StageRecord,
    VersionRecord,
    digest_key,
    encode,
    history_key,
    model_key,
    stage_key,
    version_key,
)
from registry_core.ledger.store import Table, Writer
from registry_core.trust.dsse import Envelope
from registry_core.trust.move import verify_move
from registry_core.trust.policy import verify_policy


def apply_entry(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """Change the tables as `entry` says, or raise and leave the transaction to be aborted."""
    model = subjects.model_of(entry.subject)
    if model is None:
        _require(record.tag == REGISTRY_TAG, entry, "carries a model's tag")
    elif entry.type is not EntryType.MODEL_CREATED:
        tag = queries.model(txn, model).tag
        _require(record.tag.hex() == tag, entry, "carries the tag of another model")
    try:
        _APPLY[entry.type](txn, root, record, entry)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise InvalidInput(f"log entry {entry.sequence} is not well formed: {error!r}") from error
    if model is not None:
        txn.put(Table.HISTORY, history_key(model, entry.sequence), entry.type.value.encode())


def stage_json(state: StageState) -> dict[str, Any] | None:
    """A stage as `before` and `after` of an entry show it."""
    if state.version is None:
        return None
    return {
        "generation": state.generation,
        "choice": state.choice,
        "version": state.version.to_json(),
        "previous": state.previous.to_json() if state.previous else None,
    }


def _registry_created(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    _require(record.sequence == 1, entry, "is not the first")
    _require(entry.after["registry"] == root.registry, entry, "is of another registry")
    _require(Digest.parse(entry.after["root"]) == root.digest, entry, "names another root")


def _policy_set(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    policy = verify_policy(Envelope.from_json(entry.after["envelope"]), root)
    current = txn.get(Table.POLICY, queries.POLICY_KEY)
    before = str(queries.parsed_policy(current).digest) if current else None
    _require(entry.before == before, entry, "was made under another policy")
    txn.put(Table.POLICY, queries.POLICY_KEY, policy.encoded)


def _model_created(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model = ModelName.parse(entry.after["name"])
    _require(entry.subject == subjects.of_model(model), entry, "names two models")
    if txn.get(Table.MODELS, model_key(model)) is not None:
        raise Conflict(f"model {model} exists already")
    made = ModelRecord(
        model.text, record.tag.hex(), 0, 0, created_ms=entry.time_ms, sequence=entry.sequence
    )
    txn.put(Table.MODELS, model_key(model), encode(made))


def _version_registered(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    after = entry.after
    model = ModelName.parse(after["model"])
    number, digest = parse_version_number(after["number"]), Digest.parse(after["digest"])
    owner = queries.model(txn, model)
    _require(number == owner.last_number + 1, entry, "leaves a gap in the version numbers")
    _require(entry.subject == subjects.of_version(model, number), entry, "names two versions")
    _require(owner.chunk_bytes in (0, after["chunk_bytes"]), entry, "changes the chunk size")
    publishers = queries.policy(txn).keys_of(PUBLISHER)
    _require(after["publisher"] in publishers, entry, "is by a publisher the policy lacks")
    parse_hex32(after["bundle"], "bundle digest")
    if txn.get(Table.DIGESTS, digest_key(model, digest)) is not None:
        raise Conflict(f"{model} has a version {digest} already")
    version = msgspec.convert(
        after | {"created_ms": entry.time_ms, "actor": entry.actor, "sequence": entry.sequence},
        VersionRecord,
    )
    txn.put(Table.VERSIONS, version_key(model, number), encode(version))
    txn.put(Table.DIGESTS, digest_key(model, digest), number.to_bytes(8, "big"))
    grown = msgspec.structs.replace(owner, last_number=number, chunk_bytes=version.chunk_bytes)
    txn.put(Table.MODELS, model_key(model), encode(grown))


def _stage_moved(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    move = verify_move(Envelope.from_json(entry.after["envelope"]), queries.policy(txn))
    _require(entry.subject == subjects.of_stage(move.model, move.stage), entry, "names two stages")
    registered = queries.version(txn, move.model, move.version.number)
    _require(registered.point == move.version, entry, "moves to a version that is another")
    before = _stage_before(txn, entry, move.model, move.stage)
    after = before.after_move(move)
    _require(
        {k: v for k, v in entry.after.items() if k != "envelope"} == stage_json(after),
        entry,
        "claims another outcome than its move has",
    )
    _put_stage(txn, entry, move.model, move.stage, after, entry.sequence)


def _stage_chosen(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, stage = subjects.stage_of(entry.subject)
    before = _stage_before(txn, entry, model, stage)
    after = before.after_choice(f"{model}@{stage}")
    _require(entry.after == stage_json(after), entry, "claims another outcome than a choice has")
    known = queries.stage(txn, model, stage)
    _put_stage(txn, entry, model, stage, after, known.move_sequence if known else 0)


def _state(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    _require(
        entry.after == {"tables": str(tables_digest(txn))},
        entry,
        "tells of other tables than these",
    )


_APPLY: dict[EntryType, Callable[[Writer, Root, LogRecord, Entry], None]] = {
    EntryType.REGISTRY_CREATED: _registry_created,
    EntryType.POLICY_SET: _policy_set,
    EntryType.MODEL_CREATED: _model_created,
    EntryType.VERSION_REGISTERED: _version_registered,
    EntryType.STAGE_MOVED: _stage_moved,
    EntryType.STAGE_CHOSEN: _stage_chosen,
    EntryType.STATE: _state,
}
assert _APPLY.keys() == set(EntryType), "every type of entry can be applied"


def _stage_before(txn: Writer, entry: Entry, model: ModelName, stage: StageName) -> StageState:
    known = queries.stage(txn, model, stage)
    state = known.state if known else EMPTY
    _require(entry.before == stage_json(state), entry, "was made for another state of the stage")
    return state


def _put_stage(
    txn: Writer,
    entry: Entry,
    model: ModelName,
    stage: StageName,
    state: StageState,
    move_sequence: int,
) -> None:
    shown = stage_json(state) or {}
    made = StageRecord(
        model=model.text,
        stage=stage.text,
        generation=state.generation,
        choice=state.choice,
        version=msgspec.convert(shown["version"], PointRecord),
        previous=msgspec.convert(shown["previous"], PointRecord | None),
        move_sequence=move_sequence,
        sequence=entry.sequence,
        changed_ms=entry.time_ms,
        actor=entry.actor,
        reason=entry.reason,
    )
    txn.put(Table.STAGES, stage_key(model, stage), encode(made))


def _require(holds: bool, entry: Entry, complaint: str) -> None:
    if not holds:
        raise IntegrityError(f"log entry {entry.sequence} ({entry.type}) {complaint}")
