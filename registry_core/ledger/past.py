"""The past, read from the log: entries of a time, and what a stage meant then.

What a stage meant is not a table: it is folded from the history of its model, with the policy and
the metadata of each move's own position, so that later changes of either do not colour it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from registry_core.domain import limits
from registry_core.domain.entry import Entry, EntryType
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.past import (
    AuditPage,
    AuditQuery,
    EvidenceThen,
    MoveThen,
    Said,
    ServedPage,
    ServedThen,
    Signer,
)
from registry_core.domain.policy import Policy
from registry_core.domain.stage import point_in_force
from registry_core.ledger import log, queries, subjects
from registry_core.ledger.entries.proposal_entries import proposal_id
from registry_core.ledger.entries.version_entries import annotated, registered
from registry_core.ledger.records import OF_REGISTRY, VersionRecord, of_model
from registry_core.ledger.store import Reader, Table
from registry_core.trust.dsse import Envelope
from registry_core.trust.move import count_signatures

_TELLING = frozenset(
    kind.value.encode()
    for kind in (
        EntryType.VERSION_REGISTERED, EntryType.VERSION_ANNOTATED, EntryType.MOVE_PROPOSED,
        EntryType.MOVE_APPROVED, EntryType.STAGE_MOVED, EntryType.STAGE_CHOSEN,
    )
)  # fmt: skip


def entries(txn: Reader, query: AuditQuery, after: int, limit: int) -> AuditPage:
    """A page; at most AUDIT_STEPS_MAX entries are looked at."""
    found: list[Entry] = []
    position = max(after, _first_near(txn, query.since_ms) - 1)
    for steps, entry in enumerate(_beyond(txn, query.model, position)):
        if len(found) == limit or steps == limits.AUDIT_STEPS_MAX:
            return AuditPage(found, position)
        position = entry.sequence
        if entry.time_ms > _late(query.until_ms):
            break
        if query.wants(entry):
            found.append(entry)
    return AuditPage(found, 0)


def served_at(
    txn: Reader, time_ms: int, model: ModelName | None, stage: StageName | None, after: str
) -> ServedPage:
    if model is not None:
        queries.model(txn, model)
        return ServedPage(_served(txn, model, time_ms, stage), "")
    start = ModelName(after) if after else None
    page = [ModelName(one.name) for one in islice(
        queries.models(txn, start), limits.AUDIT_MODELS_PER_PAGE
    )]  # fmt: skip
    found = [one for name in page for one in _served(txn, name, time_ms, stage)]
    full = len(page) == limits.AUDIT_MODELS_PER_PAGE
    return ServedPage(found, page[-1].text if full else "")


def _beyond(txn: Reader, model: ModelName | None, after: int) -> Iterator[Entry]:
    if model is None:
        yield from (record.entry() for record in queries.log_records(txn, after))
        return
    queries.model(txn, model)
    for sequence, _ in _history(txn, of_model(model), after):
        yield queries.log_record(txn, sequence).entry()


def _history(txn: Reader, prefix: bytes, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """(sequence, type) of the entries about a model, or about the registry, in order."""
    start = prefix + after.to_bytes(8, "big")
    for key, kind in txn.scan(Table.HISTORY, prefix, after=start):
        yield int.from_bytes(key[-8:], "big"), kind


def _first_near(txn: Reader, time_ms: int) -> int:
    """A sequence before which nothing is of `time_ms` or later."""
    low, high = 1, log.log_size(txn) + 1
    while low < high:
        middle = (low + high) // 2
        if queries.log_record(txn, middle).entry().time_ms < time_ms - limits.CLOCK_MARGIN_MS:
            low = middle + 1
        else:
            high = middle
    return low


def _late(time_ms: int) -> int:
    return min(time_ms + limits.CLOCK_MARGIN_MS, limits.INTEGER_MAX)


@dataclass
class _Stage:
    """A stage as the fold goes along."""

    move: Entry
    last: Entry
    evidence: EvidenceThen


@dataclass
class _Fold:
    """What the history of a model says, up to some entry."""

    versions: dict[int, VersionRecord] = field(default_factory=dict)
    proposed: dict[str, list[Said]] = field(default_factory=dict)
    stages: dict[str, _Stage] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        if entry.type is EntryType.VERSION_REGISTERED:
            self.versions[entry.after["number"]] = registered(entry)
        elif entry.type is EntryType.VERSION_ANNOTATED:
            _, number = subjects.version_of(entry.subject)
            _, self.versions[number] = annotated(self.versions[number], entry)
        elif entry.type in (EntryType.MOVE_PROPOSED, EntryType.MOVE_APPROVED):
            self.proposed.setdefault(entry.after["proposal"], []).append(_said(entry))
        else:
            self._change_stage(entry)

    def _change_stage(self, entry: Entry) -> None:
        known = self.stages.get(entry.subject)
        move = entry if known is None or entry.type is EntryType.STAGE_MOVED else known.move
        version = self.versions[point_in_force(entry.after)["number"]]
        evidence = EvidenceThen(
            version.publisher, version.formats, version.metrics, version.lineage, version.tags
        )
        self.stages[entry.subject] = _Stage(move, entry, evidence)


def _served(
    txn: Reader, model: ModelName, time_ms: int, stage: StageName | None
) -> list[ServedThen]:
    fold = _Fold()
    for sequence, kind in _history(txn, of_model(model)):
        if kind in _TELLING:
            entry = queries.log_record(txn, sequence).entry()
            if entry.time_ms > time_ms:
                break
            fold.take(entry)
    found = []
    for subject, known in sorted(fold.stages.items()):
        name = subjects.stage_of(subject)[1]
        if stage in (None, name):
            found.append(_served_then(txn, model, name, known, fold))
    return found


def _served_then(
    txn: Reader, model: ModelName, stage: StageName, known: _Stage, fold: _Fold
) -> ServedThen:
    envelope = Envelope.from_json(known.move.after["envelope"])
    policy = _policy_at(txn, known.move.sequence)
    count = count_signatures(envelope, policy)
    proposed, *approved = fold.proposed.get(proposal_id(envelope), [None])
    signers = [Signer(key, count.rule.role) for key in sorted(count.promoters)]
    signers += [Signer(key, count.rule.approver) for key in sorted(count.approvers)]
    after = known.last.after
    point = point_in_force(after)
    split = after.get("split", 0)
    return ServedThen(
        model.text, stage.text, point["number"], point["digest"],
        after["generation"], after["choice"], _said(known.last),
        MoveThen(
            _said(known.move), proposed, [one for one in approved if one is not None], signers,
            str(policy.digest),
        ),
        known.evidence,
        split,
        after["version"]["number"] if split else 0,
    )  # fmt: skip


def _policy_at(txn: Reader, sequence: int) -> Policy:
    """The policy that was in force at an entry."""
    policy_set = EntryType.POLICY_SET.value.encode()
    before = [at for at, kind in _history(txn, OF_REGISTRY) if kind == policy_set and at < sequence]
    entry = queries.log_record(txn, before[-1]).entry()
    return queries.parsed_policy(Envelope.from_json(entry.after["envelope"]).payload)


def _said(entry: Entry) -> Said:
    return Said(entry.sequence, entry.time_ms, entry.actor, entry.reason)
