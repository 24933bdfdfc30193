"""Control over the ledger in this process. The authority serves this very object over HTTP.

Thread-safe: reads run on consistent views, writes are serialised by the store. Every check that a
commit depends on runs inside its transaction.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from registry_core.control import VersionDraft
from registry_core.domain import limits
from registry_core.domain.entry import TAG_BYTES, Entry, EntryType
from registry_core.domain.identifiers import (
    Digest,
    Guard,
    ModelName,
    StageName,
    VersionRef,
)
from registry_core.domain.manifest import Manifest
from registry_core.domain.move import Move
from registry_core.domain.packs import decode_hint
from registry_core.domain.policy import PUBLISHER, STAGER, Policy, Root
from registry_core.domain.stage import EMPTY
from registry_core.errors import IntegrityError, InvalidInput, NotFound, Unauthorized
from registry_core.ledger import queries, subjects
from registry_core.ledger.apply import stage_json
from registry_core.ledger.ledger import Change, Draft, Ledger
from registry_core.ledger.queries import Resolved
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey
from registry_core.trust.move import sign_move
from registry_core.trust.oms import verify_version


class EmbeddedControl:
    """`stager` signs moves of stages that need no person; None where this process may not."""

    def __init__(
        self, ledger: Ledger, root: Root, origin: Origin, stager: SigningKey | None
    ) -> None:
        self.ledger = ledger
        self._root = root
        self._origin = origin
        self._stager = stager

    def root(self) -> Root:
        return self._root

    def policy(self) -> Policy:
        with self.ledger.read() as txn:
            return queries.policy(txn)

    def origin_url(self) -> str:
        return self._origin.url

    def find_model(self, model: ModelName) -> ModelRecord | None:
        with self.ledger.read() as txn:
            return queries.find_model(txn, model)

    def models(self) -> Sequence[ModelRecord]:
        with self.ledger.read() as txn:
            return list(queries.models(txn))

    def find_version(self, model: ModelName, digest: Digest) -> VersionRecord | None:
        with self.ledger.read() as txn:
            number = queries.find_number(txn, model, digest)
            return None if number is None else queries.version(txn, model, number)

    def versions(self, model: ModelName, *, newest: int) -> Sequence[VersionRecord]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            found = queries.versions(txn, model, newest_first=True)
            return [version for version, _ in zip(found, range(newest), strict=False)]

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None:
        with self.ledger.read() as txn:
            return queries.stage(txn, model, stage)

    def stages(self, model: ModelName) -> Sequence[StageRecord]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            return list(queries.stages(txn, model))

    def resolve(self, ref: VersionRef) -> Resolved:
        with self.ledger.read() as txn:
            return queries.resolve(txn, ref)

    def history(self, model: ModelName, *, newest: int) -> Sequence[Entry]:
        with self.ledger.read() as txn:
            queries.model(txn, model)
            return queries.history(txn, model, newest=newest)

    def register(self, draft: VersionDraft, change: Change) -> tuple[VersionRecord, bool]:
        manifest = Manifest.parse(draft.manifest)
        publisher = verify_version(draft.bundle, manifest, self.policy().keys_of(PUBLISHER))
        self._require_in_origin(manifest, draft.bundle)
        return self.ledger.commit(
            lambda commit: register_in(commit, draft, manifest, publisher, change)
        )

    def move(
        self, move: Move, envelope: Envelope | None, guard: Guard, change: Change
    ) -> StageRecord:
        signed = envelope or self._sign(move)
        return self.ledger.commit(lambda commit: _move(commit, move, signed, guard, change))

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard, change: Change
    ) -> StageRecord:
        return self.ledger.commit(lambda commit: _choose(commit, model, stage, guard, change))

    def close(self) -> None:
        self.ledger.close()

    def _sign(self, move: Move) -> Envelope:
        rule = self.policy().rule_for(move.model, move.stage)
        if rule.role != STAGER or self._stager is None:
            raise Unauthorized(
                f"moves of {move.model}@{move.stage} need {rule.threshold} signature(s) by the "
                f"role {rule.role}: sign with such a key (cachctl --keys DIR)"
            )
        return sign_move(move, self._stager)

    def _require_in_origin(self, manifest: Manifest, bundle: bytes) -> None:
        """Everything a node will ask the origin for is there, before anybody can promote it."""
        stored = self._origin.get(manifest_key(manifest.digest), bytes_max=limits.MANIFEST_MAX)
        if stored != manifest.encoded:
            raise IntegrityError(f"the origin holds another manifest under {manifest.digest}")
        if self._origin.get(bundle_key(manifest.digest), bytes_max=limits.BUNDLE_MAX) != bundle:
            raise IntegrityError(f"the origin holds another bundle for {manifest.digest}")
        hint = decode_hint(self._origin.get(hint_key(manifest.digest), bytes_max=limits.HINT_MAX))
        ends: dict[str, int] = {}
        for chunk in manifest.unique_chunks.values():
            place = hint.get(chunk.id)
            if place is None or place.length != chunk.length:
                raise InvalidInput(f"the packs hint does not say where chunk {chunk.id} lies")
            key = pack_key(place.pack)
            ends[key] = max(ends.get(key, 0), place.offset + place.length)
        for key, end in ends.items():
            size = self._origin.size(key)
            if size is None or size < end:
                raise NotFound(f"the origin lacks {key}, or part of it: push again")


def register_in(
    commit: Draft, draft: VersionDraft, manifest: Manifest, publisher: str, change: Change
) -> tuple[VersionRecord, bool]:
    owner = _model_or_new(commit, draft.model, change)
    number = queries.find_number(commit.txn, draft.model, manifest.digest)
    if number is not None:
        return queries.version(commit.txn, draft.model, number), False
    number = owner.last_number + 1
    after = {
        "model": draft.model.text,
        "number": number,
        "digest": str(manifest.digest),
        "bytes": manifest.size,
        "files": len(manifest.files),
        "chunk_bytes": draft.chunk_bytes,
        "bundle": hashlib.sha256(draft.bundle).hexdigest(),
        "publisher": publisher,
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
    return queries.version(commit.txn, draft.model, number), True


def _model_or_new(commit: Draft, model: ModelName, change: Change) -> ModelRecord:
    found = queries.find_model(commit.txn, model)
    if found is not None:
        return found
    commit.append(
        EntryType.MODEL_CREATED,
        subjects.of_model(model),
        tag=os.urandom(TAG_BYTES),
        before=None,
        after={"name": model.text},
        change=change,
    )
    return queries.model(commit.txn, model)


def _move(
    commit: Draft, move: Move, envelope: Envelope, guard: Guard, change: Change
) -> StageRecord:
    owner = queries.model(commit.txn, move.model)
    known = queries.stage(commit.txn, move.model, move.stage)
    before = known.state if known else EMPTY
    before.require(guard, f"{move.model}@{move.stage}")
    if envelope.payload != move.statement():
        raise InvalidInput("the envelope signs another move than the one that was asked for")
    after = before.after_move(move)
    commit.append(
        EntryType.STAGE_MOVED,
        subjects.of_stage(move.model, move.stage),
        tag=bytes.fromhex(owner.tag),
        before=stage_json(before),
        after=(stage_json(after) or {}) | {"envelope": envelope.to_json()},
        change=change,
    )
    return _stage(commit, move.model, move.stage)


def _choose(
    commit: Draft, model: ModelName, stage: StageName, guard: Guard, change: Change
) -> StageRecord:
    owner = queries.model(commit.txn, model)
    known = queries.stage(commit.txn, model, stage)
    before = known.state if known else EMPTY
    before.require(guard, f"{model}@{stage}")
    after = before.after_choice(f"{model}@{stage}")
    commit.append(
        EntryType.STAGE_CHOSEN,
        subjects.of_stage(model, stage),
        tag=bytes.fromhex(owner.tag),
        before=stage_json(before),
        after=stage_json(after),
        change=change,
    )
    return _stage(commit, model, stage)


def _stage(commit: Draft, model: ModelName, stage: StageName) -> StageRecord:
    made = queries.stage(commit.txn, model, stage)
    if made is None:
        raise NotFound(f"{model}@{stage} has no move")
    return made
