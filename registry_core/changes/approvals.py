"""Proposing, approving and rejecting moves: signatures come in one by one.

Whoever brings the last signature that the policy asks for moves the stage, in the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.changes.stages import move_stage
from registry_core.domain import limits
from registry_core.domain.entry import EntryType
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.stage import EMPTY
from registry_core.errors import Conflict, InvalidInput, Unauthorized
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.entries.proposal_entries import proposal_id
from registry_core.ledger.entries.stage_entries import moved
from registry_core.ledger.evidence import require_evidence
from registry_core.ledger.records import ProposalRecord, StageRecord
from registry_core.trust.dsse import Envelope
from registry_core.trust.move import Count, count_signatures


@dataclass(frozen=True, slots=True)
class Approval:
    """What became of a proposal: `lacking` says what it still needs, empty once the stage moved."""

    proposal: str
    lacking: str
    stage: StageRecord | None


def propose(commit: Draft, envelope: Envelope, change: Change, split: int = 0) -> Approval:
    """Open a proposal, signed by its author. Stale, if the stage has moved on."""
    name = proposal_id(envelope)
    count = count_signatures(envelope, queries.policy(commit.txn))
    move = count.move
    earlier = _recalled(commit, name, change)
    if earlier is not None:
        return earlier
    if len(count.promoters) != 1:
        raise Unauthorized(f"a proposal is signed by one key of the role {count.rule.role}")
    version = queries.version(commit.txn, move.model, move.version.number)
    require_evidence(count.rule, version)
    known = list(queries.proposals(commit.txn, move.model))
    if sum(one.stage == move.stage.text for one in known) >= limits.PROPOSALS_PER_STAGE_MAX:
        raise Conflict(f"{move.model}@{move.stage} has too many open proposals: reject some")
    if any(one.id == name and one.stage == move.stage.text for one in known):
        raise Conflict(f"this move is proposed already, as {name}: approve it")
    return _append(
        commit, EntryType.MOVE_PROPOSED, name, count, envelope, envelope, change, split=split
    )


def approve(
    commit: Draft, model: ModelName, stage: StageName, name: str, added: Envelope, change: Change
) -> Approval:
    """Add signatures to a proposal. `added` holds the same statement, signed by the approver."""
    earlier = _recalled(commit, name, change)
    if earlier is not None:
        return earlier
    known = queries.proposal(commit.txn, model, stage, name)
    before = Envelope.parse(known.envelope.encode())
    if added.payload != before.payload:
        raise InvalidInput(f"the approval signs another move than proposal {name}")
    if known.signers[0].actor == change.actor:
        raise Unauthorized(f"{change.actor} proposed this move: somebody else must approve it")
    grown = Envelope(before.payload_type, before.payload, (*before.signatures, *added.signatures))
    policy = queries.policy(commit.txn)
    old, count = count_signatures(before, policy), count_signatures(grown, policy)
    if (count.promoters, count.approvers) == (old.promoters, old.approvers):
        raise Unauthorized(
            f"this approval does not count: sign with a key of the role {count.rule.approver} that "
            "has not signed yet"
        )
    return _append(
        commit, EntryType.MOVE_APPROVED, name, count, added, grown, change, split=known.split
    )


def reject(
    commit: Draft, model: ModelName, stage: StageName, name: str, change: Change
) -> ProposalRecord:
    """Close a proposal; `change.reason` says why. What was rejected, as it was."""
    known = queries.proposal(commit.txn, model, stage, name)
    commit.append(
        EntryType.MOVE_REJECTED,
        subjects.of_stage(model, stage),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before={"proposal": name},
        after={"proposal": name},
        change=change,
    )
    return known


def _append(
    commit: Draft,
    kind: EntryType,
    name: str,
    count: Count,
    added: Envelope,
    grown: Envelope,
    change: Change,
    *,
    split: int,
) -> Approval:
    move = count.move
    said = {"split": split} if split and kind is EntryType.MOVE_PROPOSED else {}
    commit.append(
        kind,
        subjects.of_stage(move.model, move.stage),
        tag=bytes.fromhex(queries.model(commit.txn, move.model).tag),
        before=None,
        after={"proposal": name, "envelope": added.to_json()} | said,
        change=change,
    )
    if count.lacking:
        return Approval(name, count.lacking, None)
    known = queries.stage(commit.txn, move.model, move.stage)
    guard = (known.state if known else EMPTY).guard  # the move itself names what it continues
    moved_to = move_stage(commit, move, grown, guard, change, split=split)
    return Approval(name, "", moved_to)


def _recalled(commit: Draft, name: str, change: Change) -> Approval | None:
    entries = commit.recall(change)
    if entries is None:
        return None
    for entry in entries:
        if entry.type is EntryType.STAGE_MOVED:
            return Approval(name, "", moved(entry, entry.sequence))
    return Approval(name, "more signatures", None)
