"""Webhooks of one store: making, looking at and removing them; their secrets.

A secret leaves this module in `create`, `rotate` and `standing` only: to whoever is told it once,
and to whoever signs with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from registry_core.domain import limits
from registry_core.domain.cloud_event import EventFilter
from registry_core.domain.identifiers import parse_webhook_name
from registry_core.domain.standard_webhooks import Secret
from registry_core.domain.webhook_url import WebhookUrl
from registry_core.errors import Conflict, IntegrityError, InvalidInput, NotFound
from registry_core.ledger import log
from registry_core.ledger.records import decode
from registry_core.ledger.store import Reader, Store, Table
from registry_core.ledger.webhooks.records import (
    AttemptRecord,
    DeadLetterRecord,
    OldSecret,
    SecretsRecord,
    WebhookRecord,
    attempts_prefix,
    dead_prefix,
    find,
    put,
    secrets_key,
    webhook_key,
)

_replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Standing:
    """A webhook as of `now_ms` by the store's clock, and what to sign with."""

    webhook: WebhookRecord
    secrets: SecretsRecord = field(repr=False)
    now_ms: int


class Webhooks:
    """Threads: any."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self, name: str, url: WebhookUrl, wanted: EventFilter, secret: Secret, start: int | None
    ) -> tuple[WebhookRecord, bool]:
        """Begin beyond entry `start`; None begins with what is still to come. The same again has no
        effect, and says so; another URL or filter under the name is a Conflict."""
        key = webhook_key(parse_webhook_name(name))
        with self._store.write() as txn:
            known = find(txn, WebhookRecord, key)
            if known is not None:
                if known.filter != wanted or known.url != url.text:
                    raise Conflict(
                        f"there is a webhook {name} with another URL or filter: remove it, or "
                        "choose another name"
                    )
                return known, False
            if sum(1 for _ in txn.scan(Table.DELIVERIES, b"webhook/")) >= limits.WEBHOOKS_MAX:
                raise Conflict(f"there are {limits.WEBHOOKS_MAX} webhooks: remove some")
            size = log.log_size(txn)
            if start is not None and not 0 <= start <= size:
                raise InvalidInput(f"start: the log has {size} entries and no position {start}")
            made = WebhookRecord(
                name=name, id=uuid.uuid4().hex, url=url.text, types=list(wanted.types),
                model=wanted.model, cursor=size if start is None else start,
                created_ms=txn.time_ms(),
            )  # fmt: skip
            put(txn, key, made)
            put(txn, secrets_key(name), SecretsRecord(secret.text))
        return made, True

    def get(self, name: str) -> WebhookRecord:
        with self._store.read() as txn:
            return known(txn, name)

    def all(self) -> list[WebhookRecord]:
        with self._store.read() as txn:
            found = txn.scan(Table.DELIVERIES, b"webhook/")
            return [decode(WebhookRecord, data) for _, data in found]

    def standing(self, name: str) -> Standing:
        """All that is needed to deliver."""
        with self._store.read() as txn:
            webhook = known(txn, name)
            return Standing(webhook, _secrets(txn, name), txn.time_ms())

    def enable(self, name: str) -> WebhookRecord:
        """Deliver on from where it stopped, at once: also one that waits for its next attempt."""
        with self._store.write() as txn:
            before = known(txn, name)
            made = _replace(
                before, enabled=True, disabled_because="", attempts=0, retry_ms=0,
                revision=before.revision + 1,
            )  # fmt: skip
            put(txn, webhook_key(name), made)
        return made

    def rotate(self, name: str, secret: Secret) -> int:
        """Sign with `secret`, and for a day with the one before as well; until when."""
        with self._store.write() as txn:
            before, held, now_ms = known(txn, name), _secrets(txn, name), txn.time_ms()
            until_ms = now_ms + limits.WEBHOOK_SECRET_KEPT_MS
            valid = [one for one in held.old if one.until_ms > now_ms]
            old = [OldSecret(held.secret, until_ms), *valid][: limits.WEBHOOK_SECRETS_MAX - 1]
            put(txn, secrets_key(name), SecretsRecord(secret.text, old))
            put(txn, webhook_key(name), _replace(before, revision=before.revision + 1))
        return until_ms

    def delete(self, name: str) -> None:
        """Forget it, with its history and dead letters."""
        with self._store.write() as txn:
            known(txn, name)
            keys = [webhook_key(name), secrets_key(name)]
            for prefix in (attempts_prefix(name), dead_prefix(name)):
                keys += [key for key, _ in txn.scan(Table.DELIVERIES, prefix)]
            for key in keys:
                txn.delete(Table.DELIVERIES, key)

    def history(self, name: str) -> Sequence[AttemptRecord]:
        """The last attempts, newest first."""
        with self._store.read() as txn:
            known(txn, name)
            found = txn.scan(Table.DELIVERIES, attempts_prefix(name), reverse=True)
            return [decode(AttemptRecord, data) for _, data in found]

    def dead_letters(self, name: str) -> Sequence[DeadLetterRecord]:
        with self._store.read() as txn:
            known(txn, name)
            found = txn.scan(Table.DELIVERIES, dead_prefix(name))
            return [decode(DeadLetterRecord, data) for _, data in found]


def known(txn: Reader, name: str) -> WebhookRecord:
    found = find(txn, WebhookRecord, webhook_key(parse_webhook_name(name)))
    if found is None:
        raise NotFound(f"there is no webhook {name}: `cachctl webhook list` shows those there are")
    return found


def _secrets(txn: Reader, name: str) -> SecretsRecord:
    found = find(txn, SecretsRecord, secrets_key(name))
    if found is None:
        raise IntegrityError(f"webhook {name} has lost its secret: remove it and add it again")
    return found
