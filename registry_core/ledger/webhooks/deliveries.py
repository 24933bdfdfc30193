"""What came of each attempt to deliver: cursors, history, dead letters.

What only the owner of delivery may write (`delivered`, `failed`, `died`, `disabled`) is written
with `guard` in the same transaction, which raises when another has taken over. Attempts of several
webhooks share a commit. A cursor only grows here, and every event below it was delivered or is a
dead letter; a crash before a write delivers that event again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from registry_core.domain import limits
from registry_core.domain.cloud_event import event_of
from registry_core.errors import NotFound
from registry_core.ledger import queries
from registry_core.ledger.commit_queue import CommitQueue, Ticket
from registry_core.ledger.memory_store import Overlay
from registry_core.ledger.store import Reader, Store, Table, Writer
from registry_core.ledger.webhooks.records import (
    AttemptRecord,
    DeadLetterRecord,
    WebhookRecord,
    attempts_prefix,
    dead_prefix,
    find,
    numbered,
    put,
    webhook_key,
)
from registry_core.ledger.webhooks.webhooks import known

_replace = msgspec.structs.replace


class Deliveries:
    """Threads: any. NotFound says that a webhook was removed meanwhile."""

    def __init__(self, store: Store, registry: str, guard: Callable[[Reader], None]) -> None:
        self._store = store
        self._registry = registry
        self._guard = guard
        self._queue: CommitQueue[Writer] = CommitQueue(
            self._commit_batch, limits.COMMITS_PER_BATCH_MAX
        )

    def delivered(self, webhook: WebhookRecord, attempt: AttemptRecord) -> None:
        self._queue.run(
            lambda txn: _note(
                txn, webhook, attempt, cursor=attempt.sequence, attempts=0, retry_ms=0,
                last_error="",
            )
        )  # fmt: skip

    def failed(self, webhook: WebhookRecord, attempt: AttemptRecord, delay_ms: int) -> None:
        """It is tried again in `delay_ms`."""

        def write(txn: Writer) -> None:
            attempts = _same(txn, webhook).attempts + 1
            _note(
                txn, webhook, attempt, attempts=attempts, retry_ms=txn.time_ms() + delay_ms,
                last_error=attempt.error,
            )  # fmt: skip

        self._queue.run(write)

    def died(self, webhook: WebhookRecord, attempt: AttemptRecord, subject: str) -> None:
        """It is given up and the next one has its turn; unless too many were: then the webhook
        stays where it is, disabled."""

        def write(txn: Writer) -> None:
            before = _same(txn, webhook)
            if before.dead_letters >= limits.DEAD_LETTERS_MAX:
                because = f"{before.dead_letters} dead letters: redeliver them, or remove it"
                _disable(txn, webhook, attempt, because)
                return
            letter = DeadLetterRecord(
                sequence=attempt.sequence, type=attempt.type, subject=subject,
                attempts=before.attempts + 1, error=attempt.error, died_ms=txn.time_ms(),
            )  # fmt: skip
            put(txn, numbered(dead_prefix(webhook.name), attempt.sequence), letter)
            _note(
                txn, webhook, attempt, cursor=attempt.sequence, attempts=0, retry_ms=0,
                last_error=attempt.error, dead_letters=before.dead_letters + 1,
            )  # fmt: skip

        self._queue.run(write)

    def disabled(self, webhook: WebhookRecord, attempt: AttemptRecord, because: str) -> None:
        self._queue.run(lambda txn: _disable(txn, webhook, attempt, because))

    def passed(self, webhook: WebhookRecord, position: int) -> None:
        """Nothing up to `position` is for it."""

        def write(txn: Writer) -> None:
            before = _same(txn, webhook)
            made = _replace(before, cursor=max(before.cursor, position))
            put(txn, webhook_key(webhook.name), made)

        self._queue.run(write)

    def tried_by_hand(self, webhook: WebhookRecord, attempt: AttemptRecord) -> None:
        """A test, or a dead letter that was tried once more: whoever asked, any process may."""
        with self._store.write() as txn:
            key = numbered(dead_prefix(webhook.name), attempt.sequence)
            dead = _same(txn, webhook).dead_letters
            if attempt.outcome == "delivered" and txn.get(Table.DELIVERIES, key) is not None:
                txn.delete(Table.DELIVERIES, key)
                dead -= 1
            _note(txn, webhook, attempt, dead_letters=dead)

    def dead_event(self, name: str, sequence: int) -> dict[str, Any]:
        """The event that a dead letter is of."""
        with self._store.read() as txn:
            known(txn, name)
            if find(txn, DeadLetterRecord, numbered(dead_prefix(name), sequence)) is None:
                raise NotFound(
                    f"webhook {name} has no dead letter {sequence}: `cachctl webhook show {name}` "
                    "lists them"
                )
            record = next(queries.log_records(txn, sequence - 1))
            return event_of(self._registry, record.entry())

    def _commit_batch(self, batch: Sequence[Ticket[Writer, object]]) -> None:
        with self._store.write() as txn:
            self._guard(txn)
            for ticket in batch:
                layer = Overlay(txn)
                if ticket.attempt(layer):
                    layer.flush(txn)


def _same(txn: Reader, webhook: WebhookRecord) -> WebhookRecord:
    """The webhook as it is now, if it is still the one."""
    found = find(txn, WebhookRecord, webhook_key(webhook.name))
    if found is None or found.id != webhook.id:
        raise NotFound(f"webhook {webhook.name} was removed meanwhile")
    return found


def _disable(txn: Writer, webhook: WebhookRecord, attempt: AttemptRecord, because: str) -> None:
    _note(txn, webhook, attempt, enabled=False, disabled_because=because, last_error=attempt.error)


def _note(
    txn: Writer, webhook: WebhookRecord, attempt: AttemptRecord, *, cursor: int = 0, **changes: Any
) -> None:
    """Change the webhook, and put the attempt into its history in the place of the oldest."""
    before = _same(txn, webhook)
    number = before.tried + 1
    made = _replace(before, tried=number, cursor=max(before.cursor, cursor), **changes)
    put(txn, webhook_key(webhook.name), made)
    prefix = attempts_prefix(webhook.name)
    put(txn, numbered(prefix, number), _replace(attempt, number=number))
    if number > limits.WEBHOOK_HISTORY_MAX:
        txn.delete(Table.DELIVERIES, numbered(prefix, number - limits.WEBHOOK_HISTORY_MAX))
