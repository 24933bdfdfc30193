"""A commit in the making: what changes append their entries to."""

from __future__ import annotations

import os
from typing import Any

from registry_core.domain import limits
from registry_core.domain.entry import REGISTRY_TAG, SALT_BYTES, Entry, EntryType, LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import IdempotencyMismatch
from registry_core.ledger import log, queries, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.digest import tables_digest
from registry_core.ledger.loss import refuse_while_lost
from registry_core.ledger.store import Writer


class Draft:
    """`txn` sees what was appended so far."""

    def __init__(self, txn: Writer, root: Root, time_ms: int) -> None:
        self.txn = txn
        self.root = root
        self.time_ms = time_ms

    def append(
        self,
        kind: EntryType,
        subject: str,
        *,
        tag: bytes,
        before: Any,
        after: Any,
        change: Change,
    ) -> Entry:
        refuse_while_lost(self.txn, kind)
        sequence = log.log_size(self.txn) + 1
        entry = Entry(
            sequence, self.time_ms, change.actor, kind, subject,
            before, after, change.reason, change.logged_request,
        )  # fmt: skip
        record = LogRecord.seal(entry, tag, os.urandom(SALT_BYTES))
        log.append(self.txn, self.root, record, entry)
        if (sequence + 1) % limits.ENTRIES_PER_STATE == 0:
            self._append_state(sequence + 1)
        return entry

    def recall(self, change: Change) -> list[Entry] | None:
        """The entries that this very request made before, or None if it is new.

        Raises IdempotencyMismatch if its key was used for another request. Keys are remembered
        for REQUESTS_REPLAYED_MS."""
        if not change.body:
            return None
        known = queries.find_request(self.txn, change.actor, change.request_id)
        if known is None or self.time_ms - known.time_ms > limits.REQUESTS_REPLAYED_MS:
            return None
        if known.body != change.body:
            raise IdempotencyMismatch(
                f"the Idempotency-Key {change.request_id!r:.60} was used for another request: "
                "send a new key with a new request"
            )
        entries = [
            queries.log_record(self.txn, sequence).entry()
            for sequence in range(known.first, known.last + 1)
        ]
        return [entry for entry in entries if entry.request_id == change.logged_request]

    def _append_state(self, sequence: int) -> None:
        """Every 10,000th entry says what the tables are, so that snapshots can be verified."""
        after = {"tables": str(tables_digest(self.txn))}
        entry = Entry(
            sequence, self.time_ms, "registry", EntryType.STATE, subjects.REGISTRY, None, after,
            "", "",
        )  # fmt: skip
        record = LogRecord.seal(entry, REGISTRY_TAG, os.urandom(SALT_BYTES))
        log.append(self.txn, self.root, record, entry)
