"""What the derived tables hold: typed records, and the keys they lie under.

Values are canonical JSON, so that a digest over the tables is the same everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from registry_core.domain import canonical
from registry_core.domain.identifiers import Digest, Guard, ModelName, RegionName, StageName
from registry_core.domain.move import VersionPoint
from registry_core.domain.stage import StageState

R = TypeVar("R", bound=msgspec.Struct)
_decoders: dict[type[msgspec.Struct], Callable[[bytes], Any]] = {}


class ModelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`chunk_bytes` is 0 until the first version fixes it. `tag` is hex of 16 bytes. `retention`
    may hold `keep_newest` (versions) and `keep_days`."""

    name: str
    tag: str
    chunk_bytes: int
    last_number: int
    created_ms: int
    sequence: int
    notes: str = ""
    tags: dict[str, str] = {}
    retention: dict[str, int] = {}


class VersionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`digest` is the version's identity, `bundle` the SHA-256 (hex) of its OMS bundle. Metrics are
    decimal text (`registry_core.domain.metadata`). `deleted_ms` is 0 while the version is there."""

    model: str
    number: int
    digest: str
    bytes: int
    files: int
    chunk_bytes: int
    bundle: str
    publisher: str
    formats: list[str] = []
    tags: dict[str, str]
    notes: str
    metrics: dict[str, str] = {}
    lineage: dict[str, str] = {}
    schema: Any = None
    created_ms: int
    actor: str
    sequence: int
    deleted_ms: int = 0

    @property
    def point(self) -> VersionPoint:
        return VersionPoint(self.number, Digest.parse(self.digest))


class PointRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    digest: str

    @property
    def point(self) -> VersionPoint:
        return VersionPoint(self.number, Digest.parse(self.digest))


class StageRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stage after its last change. `move_sequence` is where its signed move lies in the log.
    `split`: per mille of the requests that `version` answers while `previous` is in force."""

    model: str
    stage: str
    generation: int
    choice: int
    version: PointRecord
    previous: PointRecord | None
    move_sequence: int
    sequence: int
    changed_ms: int
    actor: str
    reason: str
    split: int = 0

    @property
    def guard(self) -> Guard:
        return Guard(self.generation, self.choice)

    @property
    def in_force(self) -> PointRecord:
        """The version that hosts serve. (A choice is odd only where there is a previous one.)"""
        if self.choice % 2 and self.previous is not None:
            return self.previous
        return self.version

    @property
    def state(self) -> StageState:
        previous = self.previous.point if self.previous else None
        return StageState(self.generation, self.choice, self.version.point, previous, self.split)


class SignerRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who put signatures to a proposal (`keys`, key ids), when, and why."""

    actor: str
    keys: list[str]
    time_ms: int
    sequence: int
    reason: str


class ProposalRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A move that still lacks signatures. `id` is the first 16 hex digits of the SHA-256 of its
    statement; `envelope` (canonical JSON) grows by each approval; the first signer is the author.
    `split`: the move comes with this one (per mille).
    """

    model: str
    stage: str
    id: str
    generation: int
    version: PointRecord
    previous: PointRecord | None
    envelope: str
    signers: list[SignerRecord]
    sequence: int
    split: int = 0


class RequestRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request with an Idempotency-Key has made: entries `first` to `last`. `body` is the
    SHA-256 (hex) of what was asked."""

    body: str
    first: int
    last: int
    time_ms: int


class IntentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A push that began and has not ended: packs as young as it are not garbage. `manifest` is the
    digest of what is pushed."""

    model: str
    actor: str
    time_ms: int
    sequence: int
    manifest: str = ""


class CondemnedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack, or a manifest, that nothing refers to, and that nothing may come to refer to any
    more."""

    time_ms: int
    sequence: int
    manifest: bool = False


class RegionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A region and where its origin is. Of the home region, to which is pushed, that is said by
    config.json: `url` is empty."""

    name: str
    added_ms: int
    sequence: int
    url: str = ""
    options: dict[str, str] = {}
    home: bool = False


class CopyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The origin of `region` held all of the version, verified, when this was written."""

    region: str
    model: str
    number: int
    made_ms: int
    sequence: int


class PrefetchRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes of `region` (`*`: of every one) that serve the model bring the version, and keep it
    until `until_ms`. `pinned`: in memory, whatever else needs that."""

    region: str
    model: str
    number: int
    until_ms: int
    asked_ms: int
    sequence: int
    actor: str
    pinned: bool = False
    reason: str = ""


class EpochRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An epoch that the owners opened: its number, and where in the log and when."""

    number: int
    sequence: int
    time_ms: int


def encode(record: msgspec.Struct) -> bytes:
    """Fields that have a default are left out where they have it: so a field can be added without
    another encoding of the records that lack it."""
    shown: dict[str, Any] = msgspec.to_builtins(record)
    for name, default in _defaults(type(record)).items():
        if shown[name] == default:
            del shown[name]
    return canonical.encode(shown)


def decode(kind: type[R], data: bytes) -> R:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind).decode
    record: R = decoder(data)
    return record


@lru_cache(maxsize=64)
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.name: field.default_factory()
        if field.default_factory is not msgspec.NODEFAULT
        else field.default
        for field in msgspec.structs.fields(kind)
        if not field.required
    }


def model_key(model: ModelName) -> bytes:
    return model.text.encode()


def version_key(model: ModelName, number: int) -> bytes:
    return model.text.encode() + b"\0" + number.to_bytes(8, "big")


def digest_key(model: ModelName, digest: Digest) -> bytes:
    return model.text.encode() + b"\0" + digest.raw


def stage_key(model: ModelName, stage: StageName) -> bytes:
    return model.text.encode() + b"\0" + stage.text.encode()


def proposal_key(model: ModelName, stage: StageName, proposal: str) -> bytes:
    return of_stage(model, stage) + proposal.encode()


def request_key(actor: str, request_id: str) -> bytes:
    """Hashed, since actors are long and of any script: 32 bytes."""
    return hashlib.sha256(actor.encode() + b"\0" + request_id.encode()).digest()


def history_key(model: ModelName, sequence: int) -> bytes:
    return model.text.encode() + b"\0" + sequence.to_bytes(8, "big")


def region_key(region: RegionName) -> bytes:
    return region.text.encode()


def copy_key(region: RegionName, model: ModelName, number: int) -> bytes:
    return of_region(region) + version_key(model, number)


def prefetch_key(model: ModelName, number: int, region: str) -> bytes:
    return version_key(model, number) + region.encode()


def pin_key(model: ModelName, number: int, region: str) -> bytes:
    """Beside a prefetch of the same version, in the same table."""
    return prefetch_key(model, number, region) + b"\0pin"


OF_REGISTRY = b"\0"
"""Prefix of the history of what is about the registry itself: no model's name is empty."""


def registry_history_key(sequence: int) -> bytes:
    return OF_REGISTRY + sequence.to_bytes(8, "big")


def of_model(model: ModelName) -> bytes:
    """Prefix of all keys of one model in the tables keyed by model first."""
    return model.text.encode() + b"\0"


def of_stage(model: ModelName, stage: StageName) -> bytes:
    """Prefix of all keys of one stage in the tables keyed by stage first."""
    return stage_key(model, stage) + b"\0"


def of_region(region: RegionName) -> bytes:
    """Prefix of all keys of one region in the tables keyed by region first."""
    return region.text.encode() + b"\0"
