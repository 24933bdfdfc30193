"""JSON bodies of the control API as typed records, shared by authority and clients.

Requests refuse unknown fields; answers may grow, so clients ignore what they do not know.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from registry_core.domain.entry import Entry, EntryType
from registry_core.errors import InvalidInput
from registry_core.ledger.change import Change
from registry_core.ledger.consumers import ConsumerRecord
from registry_core.ledger.records import ModelRecord, ProposalRecord, StageRecord, VersionRecord

T = TypeVar("T")


class ChangeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Who changes something, why, and in which request."""

    actor: str
    reason: str = ""
    request_id: str = ""

    @classmethod
    def of(cls, change: Change) -> ChangeBody:
        return cls(change.actor, change.reason, change.request_id)


class RegisterBody(msgspec.Struct, forbid_unknown_fields=True):
    """A version whose manifest, bundle, hint and packs are in the origin already."""

    manifest: str
    bundle: str
    chunk_bytes: int
    change: ChangeBody
    tags: dict[str, str] = {}
    notes: str = ""
    fields: dict[str, Any] = {}
    """Said about the version from the start, as in AnnotateBody."""
    push: str = ""
    """The push that this ends, as it was announced."""


class EnvelopeBody(msgspec.Struct, forbid_unknown_fields=True):
    """`envelope`: a DSSE envelope in its JSON form."""

    envelope: dict[str, Any]
    change: ChangeBody


class BackupBody(msgspec.Struct):
    """Entries up to `position` are in the origin, `behind` are not, the oldest of them for `lag_s`
    seconds; `error` is what keeps them from it. `wanted` is false under `--no-backup`."""

    wanted: bool
    position: int
    behind: int
    lag_s: float
    error: str = ""


class MoveBody(msgspec.Struct, forbid_unknown_fields=True):
    """A DSSE envelope over a move; with no signatures the authority signs, where it may. With a
    `split` (1 to 999 per mille) the new version answers that share of the requests only."""

    envelope: dict[str, Any]
    change: ChangeBody
    split: int = 0


class ChoiceBody(msgspec.Struct, forbid_unknown_fields=True):
    """Toggle the version in force."""

    change: ChangeBody


class SplitBody(msgspec.Struct, forbid_unknown_fields=True):
    """`split`: per mille of the requests that the version of the current move is to answer; 0 and
    1000 put one version in force for all."""

    split: int
    change: ChangeBody


class AnnotateBody(msgspec.Struct, forbid_unknown_fields=True):
    """Field -> new value, null to take it away: `notes`, `tags.KEY`, `metrics.KEY` (decimal text),
    `lineage.KEY`, `schema` of a version; `notes`, `tags.KEY`, `retention.…` of a model."""

    fields: dict[str, Any]
    change: ChangeBody


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    """A move (`envelope`, as in MoveBody) or a choice (`choice`, NAME@STAGE), and its guard. A
    choice toggles, or sets a `split`, as in SplitBody; a move may have one, as in MoveBody."""

    envelope: dict[str, Any] | None = None
    choice: str | None = None
    expect: str | None = None
    split: int | None = None


class StepsBody(msgspec.Struct, forbid_unknown_fields=True):
    """Steps that are made all or none."""

    steps: list[StepBody]
    change: ChangeBody


class PolicyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A DSSE envelope over a policy, signed by owners; `expect` is the present one's digest."""

    envelope: dict[str, Any]
    expect: str
    change: ChangeBody


class PolicyAnswer(msgspec.Struct):
    """The policy in force: canonical text, and its digest."""

    policy: str
    digest: str


class ApprovalBody(msgspec.Struct):
    """`lacking` says what the proposal still needs; empty once its stage has moved."""

    proposal: str
    lacking: str
    stage: StageRecord | None


class ProposalsBody(msgspec.Struct):
    proposals: list[ProposalRecord]


class BatchBody(msgspec.Struct):
    """CloudEvents 1.0 in order, from beyond `after`; `next` is where to go on."""

    events: list[dict[str, Any]]
    after: int
    next: int


class ConsumerBody(msgspec.Struct, forbid_unknown_fields=True):
    """`start`: the position to begin beyond; null begins with what is still to come."""

    name: str
    types: list[str] = []
    model: str = ""
    start: int | None = None


class ConsumersBody(msgspec.Struct):
    """`log_entries` less a consumer's cursor is how far it is behind."""

    consumers: list[ConsumerRecord]
    log_entries: int


class AckBody(msgspec.Struct, forbid_unknown_fields=True):
    """Move on from `cursor` (`after` of what was read) to `sequence` (its `next`)."""

    cursor: int
    sequence: int


class SeekBody(msgspec.Struct, forbid_unknown_fields=True):
    sequence: int


class DoneBody(msgspec.Struct):
    """It was done."""


class RegistryBody(msgspec.Struct):
    """What a client must know to work with a registry. `root` and `policy` are canonical text."""

    registry: str
    root: str
    policy: str
    origin_url: str
    origin_options: dict[str, Any]


class ModelsBody(msgspec.Struct):
    models: list[ModelRecord]


class PageBody(msgspec.Struct):
    """`next` is the token of the page after; empty when this is the last."""

    versions: list[VersionRecord]
    next: str


class VersionsBody(msgspec.Struct):
    versions: list[VersionRecord]


class StagesBody(msgspec.Struct):
    stages: list[StageRecord]


class RegisteredBody(msgspec.Struct):
    version: VersionRecord
    created: bool


class ResolvedBody(msgspec.Struct):
    version: VersionRecord
    stage: StageRecord | None


class EntryBody(msgspec.Struct):
    """A log entry as a reader sees it."""

    sequence: int
    time_ms: int
    actor: str
    type: str
    subject: str
    before: Any
    after: Any
    reason: str
    request_id: str

    @classmethod
    def of(cls, entry: Entry) -> EntryBody:
        return cls(
            entry.sequence, entry.time_ms, entry.actor, entry.type.value, entry.subject,
            entry.before, entry.after, entry.reason, entry.request_id,
        )  # fmt: skip

    def entry(self) -> Entry:
        return Entry(
            self.sequence, self.time_ms, self.actor, EntryType(self.type), self.subject,
            self.before, self.after, self.reason, self.request_id,
        )  # fmt: skip


class AuditBody(msgspec.Struct):
    """Entries in the log's order; `next` is where to go on, 0 at the end."""

    entries: list[EntryBody]
    next: int


class HistoryBody(msgspec.Struct):
    entries: list[EntryBody]


def decode(kind: type[T], data: bytes, what: str) -> T:
    """`data` as `kind`, or InvalidInput that names the offending field."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{what} is not valid: {error}") from error


encode = msgspec.json.encode
