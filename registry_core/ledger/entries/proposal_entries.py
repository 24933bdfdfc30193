"""move.proposed, move.approved and move.rejected: a move on its way to enough signatures.

A proposal is void and gone with any change of its stage (`stage_entries`). The entry that completes
it is followed by the `stage.moved` entry in the same commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.policy import Root
from registry_core.domain.stage import EMPTY
from registry_core.ledger import queries, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.entries.split import split_of
from registry_core.ledger.records import (
    PointRecord,
    ProposalRecord,
    SignerRecord,
    encode,
    proposal_key,
)
from registry_core.ledger.store import Reader, Table, Writer
from registry_core.trust.dsse import Envelope, Signature
from registry_core.trust.move import count_signatures


def proposal_id(envelope: Envelope) -> str:
    """Names a proposal by what it proposes, whoever signed it."""
    return hashlib.sha256(envelope.payload).hexdigest()[:16]


def move_proposed(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    envelope = Envelope.from_json(entry.after["envelope"])
    move = _current_move(txn, entry, envelope, split_of(entry))
    name = proposal_id(envelope)
    require(entry.after["proposal"] == name, entry, "names its proposal wrongly")
    known = queries.find_proposal(txn, move.model, move.stage, name)
    require(known is None, entry, "proposes what is proposed already")
    require(len(envelope.signatures) == 1, entry, "is not signed by its author alone")
    made = ProposalRecord(
        move.model.text, move.stage.text, name, move.generation, _point(move.version),
        _point(move.previous) if move.previous else None,
        envelope.encode().decode(), [_signer(entry, envelope.signatures)], entry.sequence,
        split_of(entry),
    )  # fmt: skip
    txn.put(Table.PROPOSALS, proposal_key(move.model, move.stage, name), encode(made))


def move_approved(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    known = _proposal_of(txn, entry)
    before = Envelope.parse(known.envelope.encode())
    added = Envelope.from_json(entry.after["envelope"])
    require(
        added.payload == before.payload and added.payload_type == before.payload_type,
        entry, "approves another move than was proposed",
    )  # fmt: skip
    signed = {one.keyid for one in before.signatures}
    require(not signed & {one.keyid for one in added.signatures}, entry, "signs twice with a key")
    require(len(added.signatures) >= 1, entry, "is not signed")
    grown = Envelope(before.payload_type, before.payload, (*before.signatures, *added.signatures))
    _current_move(txn, entry, grown, known.split)
    made = msgspec.structs.replace(
        known,
        envelope=grown.encode().decode(),
        signers=[*known.signers, _signer(entry, added.signatures)],
    )
    key = proposal_key(ModelName(known.model), StageName(known.stage), known.id)
    txn.put(Table.PROPOSALS, key, encode(made))


def move_rejected(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    known = _proposal_of(txn, entry)
    key = proposal_key(ModelName(known.model), StageName(known.stage), known.id)
    txn.delete(Table.PROPOSALS, key)


def _current_move(txn: Reader, entry: Entry, envelope: Envelope, split: int) -> Move:
    """The move, whose every signature counts for something under the policy of today."""
    move = count_signatures(envelope, queries.policy(txn)).move
    require(entry.subject == subjects.of_stage(move.model, move.stage), entry, "names two stages")
    registered = queries.version(txn, move.model, move.version.number)
    require(registered.point == move.version, entry, "moves to a version that is another")
    known = queries.stage(txn, move.model, move.stage)
    (known.state if known else EMPTY).after_move(move, split)
    return move


def _proposal_of(txn: Reader, entry: Entry) -> ProposalRecord:
    model, stage = subjects.stage_of(entry.subject)
    return queries.proposal(txn, model, stage, entry.after["proposal"])


def _signer(entry: Entry, signatures: Sequence[Signature]) -> SignerRecord:
    keys = [one.keyid for one in signatures]
    return SignerRecord(entry.actor, keys, entry.time_ms, entry.sequence, entry.reason)


def _point(point: VersionPoint) -> PointRecord:
    return PointRecord(point.number, str(point.digest))
