"""Log entries: what one says, and the leaf it is in the tree of the log.

leaf data = sequence (u64 big-endian) || subject tag (16) || SHA-256(salt (32) || body)
leaf hash = SHA-256(0x00 || leaf data)                               (RFC 6962, section 2.1)

The body is canonical JSON. The salt keeps a redacted body from being guessed; the tag, random per
model, lets a reader check that only leaves of models foreign to it were redacted. Entries of the
registry itself carry the zero tag. Sequences count from 1: a log of size n holds 1..n.
Format: docs/FORMATS.md, "Log entry".
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.errors import InvalidInput

TAG_BYTES = 16
SALT_BYTES = 32
REGISTRY_TAG = bytes(TAG_BYTES)
_FULL, _REDACTED = 1, 2
_HEAD = struct.Struct(f">BQ{TAG_BYTES}s32s")
_BODY_KEYS = {
    "sequence", "time", "actor", "type", "subject", "before", "after", "reason", "request_id",
}  # fmt: skip


class EntryType(StrEnum):
    """Every durable change that there is."""

    REGISTRY_CREATED = "registry.created"
    POLICY_SET = "policy.set"
    MODEL_CREATED = "model.created"
    MODEL_ANNOTATED = "model.annotated"
    VERSION_REGISTERED = "version.registered"
    VERSION_ANNOTATED = "version.annotated"
    VERSION_DELETED = "version.deleted"
    MOVE_PROPOSED = "move.proposed"
    MOVE_APPROVED = "move.approved"
    MOVE_REJECTED = "move.rejected"
    STAGE_MOVED = "stage.moved"
    STAGE_CHOSEN = "stage.chosen"
    PUSH_BEGUN = "push.begun"
    PUSH_ENDED = "push.ended"
    PACK_CONDEMNED = "pack.condemned"
    PACK_DELETED = "pack.deleted"
    REGION_ADDED = "region.added"
    REGION_REMOVED = "region.removed"
    VERSION_REPLICATED = "version.replicated"
    VERSION_WITHDRAWN = "version.withdrawn"
    PREFETCH_ASKED = "prefetch.asked"
    VERSION_PINNED = "version.pinned"
    VERSION_UNPINNED = "version.unpinned"
    EPOCH_OPENED = "epoch.opened"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Entry:
    """One durable change. `time_ms` is Unix time by the writer's clock; `sequence` gives order."""

    sequence: int
    time_ms: int
    actor: str
    type: EntryType
    subject: str
    before: Any
    after: Any
    reason: str
    request_id: str

    def body(self) -> bytes:
        return canonical.encode(
            {
                "sequence": self.sequence,
                "time": self.time_ms,
                "actor": self.actor,
                "type": str(self.type),
                "subject": self.subject,
                "before": self.before,
                "after": self.after,
                "reason": self.reason,
                "request_id": self.request_id,
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> Entry:
        doc = canonical.decode(body, bytes_max=limits.ENTRY_BODY_MAX, what="log entry")
        if not isinstance(doc, dict) or doc.keys() != _BODY_KEYS:
            raise InvalidInput("log entry: wrong fields")
        texts = (doc["actor"], doc["subject"], doc["reason"], doc["request_id"])
        if not all(isinstance(text, str) for text in texts) or {
            type(doc["sequence"]),
            type(doc["time"]),
        } != {int}:
            raise InvalidInput("log entry: a field has the wrong type")
        try:
            kind = EntryType(doc["type"])
        except ValueError:
            raise InvalidInput(
                f"log entry of type {doc['type']!r:.40}: this program is older than the log; "
                "upgrade it"
            ) from None
        return cls(
            doc["sequence"], doc["time"], doc["actor"], kind, doc["subject"],
            doc["before"], doc["after"], doc["reason"], doc["request_id"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogRecord:
    """An entry as it is kept and sent: with its tag and salt, or redacted to tag and inner hash."""

    sequence: int
    tag: bytes
    secret: bytes
    """The salt, or the inner hash when redacted: 32 bytes."""
    body: bytes | None

    @classmethod
    def seal(cls, entry: Entry, tag: bytes, salt: bytes) -> LogRecord:
        body = entry.body()
        if len(body) > limits.ENTRY_BODY_MAX:
            raise InvalidInput(f"a log entry of {len(body)} bytes is too large")
        return cls(entry.sequence, tag, salt, body)

    @property
    def inner_hash(self) -> bytes:
        if self.body is None:
            return self.secret
        return hashlib.sha256(self.secret + self.body).digest()

    @property
    def leaf_hash(self) -> bytes:
        data = self.sequence.to_bytes(8, "big") + self.tag + self.inner_hash
        return hashlib.sha256(b"\x00" + data).digest()

    def redacted(self) -> LogRecord:
        """The same leaf without what it says."""
        return LogRecord(self.sequence, self.tag, self.inner_hash, None)

    def entry(self) -> Entry:
        """What the record says; its own sequence must be the record's."""
        if self.body is None:
            raise InvalidInput(f"log entry {self.sequence} is redacted")
        entry = Entry.parse(self.body)
        if entry.sequence != self.sequence:
            raise InvalidInput(f"log entry {self.sequence} claims to be {entry.sequence}")
        return entry

    def encode(self) -> bytes:
        kind = _REDACTED if self.body is None else _FULL
        return _HEAD.pack(kind, self.sequence, self.tag, self.secret) + (self.body or b"")

    @classmethod
    def decode(cls, data: bytes) -> LogRecord:
        if len(data) < _HEAD.size:
            raise InvalidInput("log record is too short")
        kind, sequence, tag, secret = _HEAD.unpack_from(data)
        body = bytes(data[_HEAD.size :])
        if kind == _FULL and body:
            return cls(sequence, tag, secret, body)
        if kind == _REDACTED and not body:
            return cls(sequence, tag, secret, None)
        raise InvalidInput(f"log record of unknown kind {kind}")
