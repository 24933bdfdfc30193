"""Reads over one transaction. Each raises NotFound, naming what is missing, or returns records."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import Digest, ModelName, StageName, VersionRef
from registry_core.domain.policy import Policy
from registry_core.errors import NotFound
from registry_core.ledger.records import (
    ModelRecord,
    ProposalRecord,
    RequestRecord,
    StageRecord,
    VersionRecord,
    decode,
    digest_key,
    model_key,
    of_model,
    proposal_key,
    request_key,
    stage_key,
    version_key,
)
from registry_core.ledger.store import Reader, Table


class Resolved(msgspec.Struct, frozen=True):
    """What a version reference means now; `stage` is set when it went through a stage."""

    version: VersionRecord
    stage: StageRecord | None


POLICY_KEY = b"current"
parsed_policy = lru_cache(maxsize=8)(Policy.parse)
"""The policy in these bytes. Each change is judged by it, and it seldom changes."""


def policy(txn: Reader) -> Policy:
    data = txn.get(Table.POLICY, POLICY_KEY)
    if data is None:
        raise NotFound("the registry has no policy yet: run `cachctl init`")
    return parsed_policy(data)


def epoch_key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def epoch(txn: Reader) -> int:
    """The number of the epoch that the log is in; 0 before any was opened."""
    for key, _ in txn.scan(Table.EPOCHS, reverse=True):
        return int.from_bytes(key, "big")
    return 0


def find_model(txn: Reader, name: ModelName) -> ModelRecord | None:
    data = txn.get(Table.MODELS, model_key(name))
    return None if data is None else decode(ModelRecord, data)


def model(txn: Reader, name: ModelName) -> ModelRecord:
    found = find_model(txn, name)
    if found is None:
        raise NotFound(f"there is no model {name}: `cachctl list` shows those there are")
    return found


def models(txn: Reader, after: ModelName | None = None) -> Iterator[ModelRecord]:
    start = model_key(after) if after else None
    for _, data in txn.scan(Table.MODELS, after=start):
        yield decode(ModelRecord, data)


def version(txn: Reader, name: ModelName, number: int) -> VersionRecord:
    data = txn.get(Table.VERSIONS, version_key(name, number))
    if data is None:
        raise NotFound(f"{name} has no version {number}: `cachctl show {name}` lists them")
    return decode(VersionRecord, data)


def find_number(txn: Reader, name: ModelName, digest: Digest) -> int | None:
    data = txn.get(Table.DIGESTS, digest_key(name, digest))
    return None if data is None else int.from_bytes(data, "big")


def versions(
    txn: Reader, name: ModelName, *, after: int | None = None, newest_first: bool = False
) -> Iterator[VersionRecord]:
    start = version_key(name, after) if after is not None else None
    for _, data in txn.scan(Table.VERSIONS, of_model(name), after=start, reverse=newest_first):
        yield decode(VersionRecord, data)


def stage(txn: Reader, name: ModelName, stage_name: StageName) -> StageRecord | None:
    data = txn.get(Table.STAGES, stage_key(name, stage_name))
    return None if data is None else decode(StageRecord, data)


def stages(txn: Reader, name: ModelName | None = None) -> Iterator[StageRecord]:
    for _, data in txn.scan(Table.STAGES, of_model(name) if name else b""):
        yield decode(StageRecord, data)


def proposals(txn: Reader, name: ModelName | None = None) -> Iterator[ProposalRecord]:
    for _, data in txn.scan(Table.PROPOSALS, of_model(name) if name else b""):
        yield decode(ProposalRecord, data)


def find_proposal(
    txn: Reader, name: ModelName, stage_name: StageName, proposal_id: str
) -> ProposalRecord | None:
    data = txn.get(Table.PROPOSALS, proposal_key(name, stage_name, proposal_id))
    return None if data is None else decode(ProposalRecord, data)


def proposal(
    txn: Reader, name: ModelName, stage_name: StageName, proposal_id: str
) -> ProposalRecord:
    found = find_proposal(txn, name, stage_name, proposal_id)
    if found is None:
        raise NotFound(
            f"there is no proposal {proposal_id:.40} for {name}@{stage_name} (any more): "
            "`cachctl proposals` lists what is open"
        )
    return found


def find_request(txn: Reader, actor: str, request_id: str) -> RequestRecord | None:
    data = txn.get(Table.REQUESTS, request_key(actor, request_id))
    return None if data is None else decode(RequestRecord, data)


def history(txn: Reader, name: ModelName, *, newest: int) -> list[Entry]:
    """The newest entries about a model and all that is its, newest first."""
    found: list[Entry] = []
    for key, _ in txn.scan(Table.HISTORY, of_model(name), reverse=True):
        if len(found) == newest:
            break
        found.append(log_record(txn, int.from_bytes(key[-8:], "big")).entry())
    return found


def log_record(txn: Reader, sequence: int) -> LogRecord:
    data = txn.get(Table.LOG, sequence.to_bytes(8, "big"))
    if data is None:
        raise NotFound(f"the log has no entry {sequence}")
    return LogRecord.decode(data)


def log_records(txn: Reader, after: int) -> Iterator[LogRecord]:
    """Records of the log from `after` + 1 on."""
    for _, data in txn.scan(Table.LOG, after=after.to_bytes(8, "big")):
        yield LogRecord.decode(data)


def resolve(txn: Reader, ref: VersionRef) -> Resolved:
    if ref.stage is not None:
        found = stage(txn, ref.model, ref.stage)
        if found is None:
            model(txn, ref.model)
            raise NotFound(
                f"nothing was promoted to {ref.model}@{ref.stage} yet: "
                f"`cachctl promote {ref.model}@{ref.stage} NUMBER`"
            )
        return Resolved(version(txn, ref.model, found.in_force.number), found)
    if ref.digest is not None:
        number = find_number(txn, ref.model, ref.digest)
        if number is None:
            raise NotFound(f"{ref.model} has no version {ref.digest}")
        return Resolved(version(txn, ref.model, number), None)
    numbered = version(txn, ref.model, ref.number or 0)
    if numbered.deleted_ms:
        raise NotFound(f"{ref.model}/{ref.number} was deleted: `cachctl history` says by whom")
    return Resolved(numbered, None)
