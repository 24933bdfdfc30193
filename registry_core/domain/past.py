"""The past, as it is asked for and as it is told. Pure documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from registry_core.domain import limits
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import ModelName


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Entries from `since_ms` up to `until_ms` (Unix, both included), by `actor` (all of it, or its
    beginning with a `*` behind), of a type that begins with `kind`, about `model`."""

    since_ms: int = 0
    until_ms: int = limits.INTEGER_MAX
    actor: str = ""
    kind: str = ""
    model: ModelName | None = None

    def wants(self, entry: Entry) -> bool:
        actor = self.actor
        by = entry.actor.startswith(actor[:-1]) if actor.endswith("*") else entry.actor == actor
        return (
            self.since_ms <= entry.time_ms <= self.until_ms
            and (not actor or by)
            and entry.type.value.startswith(self.kind)
        )


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries in the log's order; `next` is where to go on, 0 at the end."""

    entries: Sequence[Entry]
    next: int


class Said(msgspec.Struct, frozen=True):
    """Who did something, when (Unix ms), why, and which entry of the log it is."""

    sequence: int
    time_ms: int
    actor: str
    reason: str


class Signer(msgspec.Struct, frozen=True):
    """A valid signature: the id of the key, and what it counted as."""

    key: str
    role: str


class MoveThen(msgspec.Struct, frozen=True):
    """The signed move that a stage was under: who committed it, who had proposed and approved it,
    whose signatures count by the policy of that time."""

    committed: Said
    proposed: Said | None
    approved: Sequence[Said]
    signers: Sequence[Signer]
    policy: str


class EvidenceThen(msgspec.Struct, frozen=True):
    """What was known of the version when it came into force. `publisher` is the id of the key that
    signed its files."""

    publisher: str
    formats: Sequence[str]
    metrics: Mapping[str, str]
    lineage: Mapping[str, str]
    tags: Mapping[str, str]


class ServedThen(msgspec.Struct, frozen=True):
    """What a stage meant at a moment; `in_force` says who brought it about and since when."""

    model: str
    stage: str
    number: int
    digest: str
    generation: int
    choice: int
    in_force: Said
    move: MoveThen
    evidence: EvidenceThen
    split: int = 0
    """Per mille of the requests that version `split_number` answered instead."""
    split_number: int = 0


class ServedPage(msgspec.Struct, frozen=True):
    """`next` is the last model that was looked at, empty at the end."""

    stages: Sequence[ServedThen]
    next: str
