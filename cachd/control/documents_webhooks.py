"""JSON bodies about webhooks."""

from __future__ import annotations

import msgspec

from registry_core.ledger.webhooks.records import AttemptRecord, DeadLetterRecord, WebhookRecord


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """`types` and `model` as for events; `secret`: `whsec_` and base64 of 24 to 64 bytes, made here
    if it is empty; `start`: the position to begin beyond, null for what is still to come."""

    name: str
    url: str
    types: list[str] = []
    model: str = ""
    secret: str = ""
    start: int | None = None


class WebhookMadeBody(msgspec.Struct):
    """`secret` is told this once; empty if the webhook was there already."""

    webhook: WebhookRecord
    secret: str


class WebhooksBody(msgspec.Struct):
    """`log_entries` less a webhook's cursor is how far it is behind, at most."""

    webhooks: list[WebhookRecord]
    log_entries: int


class DeliveriesBody(msgspec.Struct):
    """Newest first."""

    deliveries: list[AttemptRecord]


class DeadLettersBody(msgspec.Struct):
    """Oldest first."""

    dead_letters: list[DeadLetterRecord]


class RotateBody(msgspec.Struct, forbid_unknown_fields=True):
    """`secret` is made here if it is empty."""

    secret: str = ""


class SecretBody(msgspec.Struct):
    """`secret` is told this once; the one before is signed with as well until `old_until_ms`."""

    secret: str
    old_until_ms: int
