"""Names and digests as values: each has one parser, and what was parsed stays parsed.

`Digest` is the identity of a version (SHA-256 of its manifest), `ChunkId` the BLAKE3 of a chunk's
stored bytes. `VersionRef` is what people type: `name/3`, `name@stage`, `name@sha256:…`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from registry_core.domain import limits
from registry_core.errors import InvalidIdentifier

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_RESERVED_STAGES = frozenset({"latest"})  # never deployed by: it names whatever came last


def _parse_name(text: object, what: str) -> str:
    if not isinstance(text, str) or len(text) > limits.NAME_CHARS_MAX or not _NAME.fullmatch(text):
        raise InvalidIdentifier(
            f"{what} {text!r:.80} is not valid: use 1 to {limits.NAME_CHARS_MAX} of a-z 0-9 . _ - "
            "beginning and ending with a letter or digit"
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """The name of a user's ML model, e.g. `fraud-detector`."""

    text: str

    @classmethod
    def parse(cls, text: object) -> ModelName:
        return cls(_parse_name(text, "model name"))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class StageName:
    """A named pointer of a model: `staging`, `production`, or any name the user makes."""

    text: str

    @classmethod
    def parse(cls, text: object) -> StageName:
        name = _parse_name(text, "stage name")
        if name in _RESERVED_STAGES:
            raise InvalidIdentifier(f"stage name {name!r} is reserved: choose another")
        return cls(name)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class NodeId:
    """The name of a node, unique in its registry."""

    text: str

    @classmethod
    def parse(cls, text: object) -> NodeId:
        return cls(_parse_name(text, "node id"))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class RegionName:
    """The name of a region, e.g. `eu`: what has one origin and many nodes."""

    text: str

    @classmethod
    def parse(cls, text: object) -> RegionName:
        if not isinstance(text, str) or not _REGION.fullmatch(text):
            raise InvalidIdentifier(
                f"region name {text!r:.80} is not valid: use 1 to 64 of a-z 0-9 - beginning and "
                "ending with a letter or digit"
            )
        return cls(text)

    def __str__(self) -> str:
        return self.text


def parse_consumer_name(text: object) -> str:
    """The name of a durable consumer of events, unique in its registry."""
    return _parse_name(text, "consumer name")


def parse_webhook_name(text: object) -> str:
    """The name of a webhook, unique in its registry."""
    return _parse_name(text, "webhook name")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """SHA-256, printed `sha256:<64 hex>`. `raw` is 32 bytes."""

    raw: bytes

    def __hash__(self) -> int:
        """Without the tuple that a dataclass makes: these are keys wherever chunks move."""
        return hash(self.raw)

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise InvalidIdentifier(f"a SHA-256 digest has 32 bytes, not {len(self.raw)}")

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls(hashlib.sha256(data).digest())

    @classmethod
    def parse(cls, text: object) -> Digest:
        if isinstance(text, str) and text.startswith("sha256:") and _HEX64.fullmatch(text, 7):
            return cls(bytes.fromhex(text[7:]))
        raise InvalidIdentifier(f"digest {text!r:.90} is not 'sha256:' and 64 hex digits")

    @classmethod
    def parse_hex(cls, text: object) -> Digest:
        return cls(parse_hex32(text, "SHA-256"))

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def __str__(self) -> str:
        return f"sha256:{self.raw.hex()}"


@dataclass(frozen=True, slots=True, order=True)
class ChunkId:
    """BLAKE3 of a chunk's stored bytes. `raw` is 32 bytes."""

    raw: bytes

    def __hash__(self) -> int:
        return hash(self.raw)  # as of a Digest

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise InvalidIdentifier(f"a chunk id has 32 bytes, not {len(self.raw)}")

    @classmethod
    def parse_hex(cls, text: object) -> ChunkId:
        return cls(parse_hex32(text, "chunk id"))

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def __str__(self) -> str:
        return self.raw.hex()


def parse_hex32(text: object, what: str) -> bytes:
    """64 lower-case hex digits as 32 bytes."""
    if isinstance(text, str) and _HEX64.fullmatch(text):
        return bytes.fromhex(text)
    raise InvalidIdentifier(f"{what} {text!r:.80} is not 64 lower-case hex digits")


@dataclass(frozen=True, slots=True)
class StageRef:
    """`name@stage`."""

    model: ModelName
    stage: StageName

    @classmethod
    def parse(cls, text: str) -> StageRef:
        name, at, stage = text.removeprefix("models:/").partition("@")
        if not at:
            raise InvalidIdentifier(f"{text!r:.150} names no stage: write NAME@STAGE")
        return cls(ModelName.parse(name), StageName.parse(stage))

    def __str__(self) -> str:
        return f"{self.model}@{self.stage}"


@dataclass(frozen=True, slots=True)
class VersionRef:
    """One version of one model: exactly one of `number`, `stage`, `digest` is set."""

    model: ModelName
    number: int | None = None
    stage: StageName | None = None
    digest: Digest | None = None

    @staticmethod
    @lru_cache(maxsize=4096)
    def parse(text: str) -> VersionRef:
        """`name/3`, `name@stage` or `name@sha256:…`, each also behind `models:/`.

        Cached: services resolve the same few references again and again.
        """
        rest = text.removeprefix("models:/")
        if "@" in rest:
            name, _, pointer = rest.partition("@")
            if pointer.startswith("sha256:"):
                return VersionRef(ModelName.parse(name), digest=Digest.parse(pointer))
            return VersionRef(ModelName.parse(name), stage=StageName.parse(pointer))
        name, slash, number = rest.partition("/")
        if not slash:
            raise InvalidIdentifier(
                f"{text!r:.150} names no version: write NAME/NUMBER, NAME@STAGE or NAME@sha256:…"
            )
        return VersionRef(ModelName.parse(name), number=parse_version_number(number))


def parse_version_number(text: object) -> int:
    """A version number: 1, 2, 3… (an `int`, or its decimal text without sign or leading zero)."""
    if isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{0,15}", text):
        return int(text)
    if isinstance(text, int) and not isinstance(text, bool) and 1 <= text <= limits.INTEGER_MAX:
        return text
    raise InvalidIdentifier(f"version number {text!r:.40} is not a positive whole number")


@dataclass(frozen=True, slots=True, order=True)
class Guard:
    """`generation.choice`: the state of a stage that a change was decided on."""

    generation: int
    choice: int

    @classmethod
    def parse(cls, text: object) -> Guard:
        if isinstance(text, str):
            match = re.fullmatch(r"(0|[1-9][0-9]{0,14})\.(0|[1-9][0-9]{0,14})", text)
            if match:
                return cls(int(match[1]), int(match[2]))
        raise InvalidIdentifier(f"guard {text!r:.60} is not GENERATION.CHOICE, for example 4.0")

    def __str__(self) -> str:
        return f"{self.generation}.{self.choice}"
