"""What the table DELIVERIES holds of webhooks, and the keys it lies under.

webhook/NAME               the webhook, with its cursor
secrets/NAME               its secrets, apart, so that showing a webhook cannot show them
attempt/NAME/<number u64>  its last attempts
dead/NAME/<sequence u64>   events that were given up
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from registry_core.domain.cloud_event import EventFilter
from registry_core.domain.standard_webhooks import Secret
from registry_core.ledger.records import decode
from registry_core.ledger.store import Reader, Table, Writer

R = TypeVar("R", bound=msgspec.Struct)


class WebhookRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`cursor` is the position up to which everything was delivered or given up. `attempts` at the
    first event beyond it have failed; the next comes at `retry_ms`. A change by hand counts
    `revision` up; `tried` counts attempts."""

    name: str
    id: str
    url: str
    types: list[str]
    model: str
    cursor: int
    created_ms: int
    revision: int = 1
    enabled: bool = True
    disabled_because: str = ""
    attempts: int = 0
    retry_ms: int = 0
    last_error: str = ""
    tried: int = 0
    dead_letters: int = 0

    @property
    def filter(self) -> EventFilter:
        return EventFilter(tuple(self.types), self.model)


class OldSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    secret: str
    until_ms: int


class SecretsRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`secret` is in force; `old` ones, newest first, are signed with as well until they end."""

    secret: str
    old: list[OldSecret] = []

    def valid(self, now_ms: int) -> list[Secret]:
        old = [one.secret for one in self.old if one.until_ms > now_ms]
        return [Secret.parse(text) for text in (self.secret, *old)]


class AttemptRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One attempt to deliver the event at `sequence` (0: a test). `outcome` is delivered, retry,
    dead or disabled; `status` is the HTTP status, 0 if there was no answer: `error` says why."""

    number: int = 0
    time_ms: int
    sequence: int
    type: str
    outcome: str
    status: int
    error: str
    duration_ms: int


class DeadLetterRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event that was given up. It is in the log as ever, so it can be delivered after all."""

    sequence: int
    type: str
    subject: str
    attempts: int
    error: str
    died_ms: int


def webhook_key(name: str) -> bytes:
    return f"webhook/{name}".encode()


def secrets_key(name: str) -> bytes:
    return f"secrets/{name}".encode()


def attempts_prefix(name: str) -> bytes:
    return f"attempt/{name}/".encode()


def dead_prefix(name: str) -> bytes:
    return f"dead/{name}/".encode()


def numbered(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(8, "big")


def find(txn: Reader, kind: type[R], key: bytes) -> R | None:
    data = txn.get(Table.DELIVERIES, key)
    return None if data is None else decode(kind, data)


def put(txn: Writer, key: bytes, record: msgspec.Struct) -> None:
    txn.put(Table.DELIVERIES, key, msgspec.json.encode(record))
