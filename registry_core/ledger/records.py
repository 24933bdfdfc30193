"""What the derived tables hold: typed records, and the keys they lie under.

Values are canonical JSON, so that a digest over the tables is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from registry_core.domain import canonical
from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName
from registry_core.domain.move import VersionPoint
from registry_core.domain.stage import StageState

R = TypeVar("R", bound=msgspec.Struct)
_decoders: dict[type[msgspec.Struct], Callable[[bytes], Any]] = {}


class ModelRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`chunk_bytes` is 0 until the first version fixes it. `tag` is hex of 16 bytes."""

    name: str
    tag: str
    chunk_bytes: int
    last_number: int
    created_ms: int
    sequence: int


class VersionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`digest` is the version's identity, `bundle` the SHA-256 (hex) of its OMS bundle."""

    model: str
    number: int
    digest: str
    bytes: int
    files: int
    chunk_bytes: int
    bundle: str
    publisher: str
    tags: dict[str, str]
    notes: str
    created_ms: int
    actor: str
    sequence: int

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
    """A stage after its last change. `move_sequence` is where its signed move lies in the log."""

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
        return StageState(self.generation, self.choice, self.version.point, previous)


def encode(record: msgspec.Struct) -> bytes:
    return canonical.encode(msgspec.to_builtins(record))


def decode(kind: type[R], data: bytes) -> R:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind).decode
    record: R = decoder(data)
    return record


def model_key(model: ModelName) -> bytes:
    return model.text.encode()


def version_key(model: ModelName, number: int) -> bytes:
    return model.text.encode() + b"\0" + number.to_bytes(8, "big")


def digest_key(model: ModelName, digest: Digest) -> bytes:
    return model.text.encode() + b"\0" + digest.raw


def stage_key(model: ModelName, stage: StageName) -> bytes:
    return model.text.encode() + b"\0" + stage.text.encode()


def history_key(model: ModelName, sequence: int) -> bytes:
    return model.text.encode() + b"\0" + sequence.to_bytes(8, "big")


def of_model(model: ModelName) -> bytes:
    """Prefix of all keys of one model in the tables keyed by model first."""
    return model.text.encode() + b"\0"
