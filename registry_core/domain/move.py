"""A move: a change of a stage, as the in-toto statement that promoter and approvers sign.

The statement binds model, stage, generation, the new and the previous version and the policy it
was made under; any drift of the stage makes it void. An approval is one more signature over the
same bytes. Format: docs/FORMATS.md, "Signed move"; in-toto Statement v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.domain.identifiers import Digest, ModelName, StageName, parse_version_number
from registry_core.errors import InvalidInput

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:cachd:move:v1"
_PREDICATE_KEYS = {"registry", "model", "stage", "generation", "version", "previous", "policy"}


@dataclass(frozen=True, slots=True)
class VersionPoint:
    """A version by both of its names."""

    number: int
    digest: Digest

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "digest": str(self.digest)}

    @classmethod
    def from_json(cls, doc: Any) -> VersionPoint:
        if not isinstance(doc, dict) or doc.keys() != {"number", "digest"}:
            raise InvalidInput("a version in a move is not an object of number and digest")
        return cls(parse_version_number(doc["number"]), Digest.parse(doc["digest"]))


@dataclass(frozen=True, slots=True)
class Move:
    """Generation `generation` of `model`@`stage` in registry `registry` (its id, 32 hex)."""

    registry: str
    model: ModelName
    stage: StageName
    generation: int
    version: VersionPoint
    previous: VersionPoint | None
    policy: Digest

    def statement(self) -> bytes:
        """The bytes to be signed, as the payload of a DSSE envelope."""
        return _statement(self)

    @classmethod
    def parse(cls, statement: bytes) -> Move:
        """The move that `statement` is, byte for byte, or InvalidInput."""
        return _parse(statement)


@lru_cache(maxsize=256)
def _statement(move: Move) -> bytes:
    """Cached: signing, committing and judging a move each ask for it."""
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {
                    "name": f"{move.model}/{move.version.number}",
                    "digest": {"sha256": move.version.digest.hex},
                }
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "registry": move.registry,
                "model": str(move.model),
                "stage": str(move.stage),
                "generation": move.generation,
                "version": move.version.to_json(),
                "previous": move.previous.to_json() if move.previous else None,
                "policy": str(move.policy),
            },
        }
    )


@lru_cache(maxsize=256)
def _parse(statement: bytes) -> Move:
    """Cached: whoever receives, commits or applies a move parses it."""
    doc = canonical.decode(statement, bytes_max=limits.ENVELOPE_MAX, what="move")
    predicate = doc.get("predicate") if isinstance(doc, dict) else None
    if not isinstance(predicate, dict) or predicate.keys() != _PREDICATE_KEYS:
        raise InvalidInput("move: the statement's predicate is not a move")
    generation, registry = predicate["generation"], predicate["registry"]
    if type(generation) is not int or generation < 1 or not isinstance(registry, str):
        raise InvalidInput("move: generation or registry is not valid")
    previous = predicate["previous"]
    move = Move(
        registry,
        ModelName.parse(predicate["model"]),
        StageName.parse(predicate["stage"]),
        generation,
        VersionPoint.from_json(predicate["version"]),
        VersionPoint.from_json(previous) if previous is not None else None,
        Digest.parse(predicate["policy"]),
    )
    if move.statement() != statement:
        raise InvalidInput("move: the statement disagrees with itself or holds unknown fields")
    return move
