"""Registering, annotating and deleting versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from registry_core.changes import garbage
from registry_core.changes.models import model_or_new
from registry_core.domain.entry import EntryType
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.manifest import Manifest
from registry_core.domain.metadata import VERSION_FIELDS, changed
from registry_core.domain.packs import PackName
from registry_core.errors import Conflict, NotFound
from registry_core.ledger import queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.entries.version_entries import named_by, registered
from registry_core.ledger.records import VersionRecord


@dataclass(frozen=True, slots=True)
class VersionDraft:
    """A version to register, whose objects are all in the origin: its manifest and its OMS bundle
    are named by their SHA-256."""

    model: ModelName
    manifest: Digest
    bundle: Digest
    chunk_bytes: int
    tags: dict[str, str]
    notes: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further ones, as `annotate_version` takes them."""
    push: bytes = b""
    """The push that this ends, as `garbage.begin_push` announced it."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found out about a draft before its commit: who published it, what kinds of files it
    holds, and the packs that its chunks lie in. `seen` is the size of the log before the origin was
    looked at."""

    manifest: Manifest
    publisher: str
    formats: Collection[str] = ()
    packs: Collection[PackName] = ()
    seen: int = 0


def register_version(
    commit: Draft, draft: VersionDraft, examined: Examined, change: Change
) -> tuple[VersionRecord, bool]:
    """The version, and whether it was created (False: the model had these files already)."""
    earlier = commit.recall(change)
    if draft.push:
        if earlier is None:
            garbage.require_push(commit.txn, draft.model, examined.manifest.digest, draft.push)
        garbage.end_push(commit, draft.model, draft.push, change)
    made_before = [e for e in earlier or () if e.type is EntryType.VERSION_REGISTERED]
    if made_before:
        return registered(made_before[0]), True
    garbage.refuse_condemned(commit.txn, examined.packs)
    garbage.refuse_condemned_manifest(commit.txn, examined.manifest.digest)
    if not draft.push:
        garbage.refuse_deleted_since(
            commit.txn, examined.seen, examined.packs, examined.manifest.digest
        )
    owner = model_or_new(commit, draft.model, change)
    number = queries.find_number(commit.txn, draft.model, examined.manifest.digest)
    if number is not None:
        return queries.version(commit.txn, draft.model, number), False
    number = owner.last_number + 1
    after = {
        "model": draft.model.text,
        "number": number,
        "digest": str(examined.manifest.digest),
        "bytes": examined.manifest.size,
        "files": len(examined.manifest.files),
        "chunk_bytes": draft.chunk_bytes,
        "bundle": draft.bundle.hex,
        "publisher": examined.publisher,
        "formats": sorted(examined.formats),
        "tags": draft.tags,
        "notes": draft.notes,
    }
    commit.append(
        EntryType.VERSION_REGISTERED,
        subjects.of_version(draft.model, number),
        tag=bytes.fromhex(owner.tag),
        before=None,
        after=after,
        change=change,
    )
    made = queries.version(commit.txn, draft.model, number)
    if draft.fields:
        made = _annotate(commit, made, draft.fields, change)
    return made, True


def annotate_version(
    commit: Draft, model: ModelName, number: int, fields: Mapping[str, Any], change: Change
) -> VersionRecord:
    """Set fields of a version, or take them away where the value is None."""
    if commit.recall(change) is None:
        known = require_there(queries.version(commit.txn, model, number))
        return _annotate(commit, known, fields, change)
    return queries.version(commit.txn, model, number)


def delete_version(commit: Draft, model: ModelName, number: int, change: Change) -> VersionRecord:
    """Leave a tombstone: the number is never used again, gc may take the files."""
    if commit.recall(change) is None:
        known = require_there(queries.version(commit.txn, model, number))
        holder = named_by(commit.txn, known)
        if holder is not None:
            raise Conflict(
                f"{model}/{number} cannot be deleted: {holder} names it. Promote other versions "
                "until the stage has neither as current nor as previous version"
            )
        _append(commit, known, EntryType.VERSION_DELETED, {"digest": known.digest}, None, change)
    return queries.version(commit.txn, model, number)


def _annotate(
    commit: Draft, known: VersionRecord, fields: Mapping[str, Any], change: Change
) -> VersionRecord:
    before, _ = changed(msgspec.to_builtins(known), fields, VERSION_FIELDS)
    _append(commit, known, EntryType.VERSION_ANNOTATED, before, dict(fields), change)
    return queries.version(commit.txn, ModelName(known.model), known.number)


def require_there(version: VersionRecord) -> VersionRecord:
    if version.deleted_ms:
        raise NotFound(f"{version.model}/{version.number} was deleted")
    return version


def _append(
    commit: Draft, version: VersionRecord, kind: EntryType, before: Any, after: Any, change: Change
) -> None:
    model = ModelName(version.model)
    commit.append(
        kind,
        subjects.of_version(model, version.number),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before=before,
        after=after,
        change=change,
    )
