"""version.registered, version.annotated and version.deleted."""

from __future__ import annotations

from typing import Any

import msgspec

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import (
    Digest,
    ModelName,
    RegionName,
    parse_hex32,
    parse_version_number,
)
from registry_core.domain.metadata import VERSION_FIELDS, changed
from registry_core.domain.policy import PUBLISHER, Root
from registry_core.errors import Conflict
from registry_core.ledger import queries, regions, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.index import update_index
from registry_core.ledger.records import (
    ModelRecord,
    VersionRecord,
    copy_key,
    digest_key,
    encode,
    model_key,
    version_key,
)
from registry_core.ledger.store import Reader, Table, Writer


def version_registered(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    after = entry.after
    model = ModelName.parse(after["model"])
    number, digest = parse_version_number(after["number"]), Digest.parse(after["digest"])
    owner = queries.model(txn, model)
    require(number == owner.last_number + 1, entry, "leaves a gap in the version numbers")
    require(entry.subject == subjects.of_version(model, number), entry, "names two versions")
    require(owner.chunk_bytes in (0, after["chunk_bytes"]), entry, "changes the chunk size")
    publishers = queries.policy(txn).keys_of(PUBLISHER)
    require(after["publisher"] in publishers, entry, "is by a publisher the policy lacks")
    parse_hex32(after["bundle"], "bundle digest")
    if txn.get(Table.DIGESTS, digest_key(model, digest)) is not None:
        raise Conflict(f"{model} has a version {digest} already")
    version = registered(entry)
    _put(txn, None, version)
    txn.put(Table.DIGESTS, digest_key(model, digest), number.to_bytes(8, "big"))
    _grow(txn, owner, model, version)


def version_annotated(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    known = _version_of(txn, entry)
    before, after = annotated(known, entry)
    require(entry.before == before, entry, "was made for another state of the version")
    _put(txn, known, after)


def version_deleted(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    known = _version_of(txn, entry)
    model = ModelName(known.model)
    holder = named_by(txn, known)
    require(holder is None, entry, f"deletes a version that {holder} names")
    require(entry.after is None, entry, "leaves something behind")
    _put(txn, known, msgspec.structs.replace(known, deleted_ms=entry.time_ms))
    txn.delete(Table.DIGESTS, digest_key(model, Digest.parse(known.digest)))
    for copy in list(regions.copies(txn, model, known.number)):
        txn.delete(Table.COPIES, copy_key(RegionName(copy.region), model, known.number))
    for key, _ in list(txn.scan(Table.PREFETCHES, version_key(model, known.number))):
        txn.delete(Table.PREFETCHES, key)


def registered(entry: Entry) -> VersionRecord:
    """The version that a `version.registered` entry made."""
    made = {"created_ms": entry.time_ms, "actor": entry.actor, "sequence": entry.sequence}
    return msgspec.convert(entry.after | made, VersionRecord)


def annotated(known: VersionRecord, entry: Entry) -> tuple[dict[str, Any], VersionRecord]:
    """What a `version.annotated` entry found of its fields in `known`, and what it made of it."""
    before, after = changed(msgspec.to_builtins(known), entry.after, VERSION_FIELDS)
    return before, msgspec.convert(after, VersionRecord)


def named_by(txn: Reader, version: VersionRecord) -> str | None:
    """A stage or proposal that still names the version; it cannot be deleted."""
    model = ModelName(version.model)
    for stage in queries.stages(txn, model):
        points = (stage.version, stage.previous)
        if any(point is not None and point.number == version.number for point in points):
            return f"stage {stage.model}@{stage.stage}"
    for proposal in queries.proposals(txn, model):
        if proposal.version.number == version.number:
            return f"proposal {proposal.id} for {proposal.model}@{proposal.stage}"
    return None


def _version_of(txn: Reader, entry: Entry) -> VersionRecord:
    model, number = subjects.version_of(entry.subject)
    known = queries.version(txn, model, number)
    require(not known.deleted_ms, entry, "is about a version that was deleted")
    return known


def _put(txn: Writer, before: VersionRecord | None, after: VersionRecord) -> None:
    txn.put(Table.VERSIONS, version_key(ModelName(after.model), after.number), encode(after))
    update_index(txn, before, after)


def _grow(txn: Writer, owner: ModelRecord, model: ModelName, version: VersionRecord) -> None:
    grown = msgspec.structs.replace(
        owner, last_number=version.number, chunk_bytes=version.chunk_bytes
    )
    txn.put(Table.MODELS, model_key(model), encode(grown))
