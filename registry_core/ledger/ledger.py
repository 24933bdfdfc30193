"""The writable ledger: entries, tables and a signed checkpoint, committed in one transaction.

Any thread may read; writes are serialised by the store. What `commit` returned from survives
kill -9 and power loss; a commit that raised left nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from registry_core.domain import limits
from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.entry import REGISTRY_TAG, SALT_BYTES, Entry, EntryType, LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import InvalidInput, LedgerUnavailable
from registry_core.ledger import log, subjects
from registry_core.ledger.digest import tables_digest
from registry_core.ledger.store import Reader, Store, Writer
from registry_core.trust.keys import SigningKey
from registry_core.trust.note import sign_checkpoint

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes something, why, and in which request."""

    actor: str
    reason: str
    request_id: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.actor) <= limits.ACTOR_CHARS_MAX:
            raise InvalidInput(f"actor must have 1 to {limits.ACTOR_CHARS_MAX} characters")
        if len(self.reason) > limits.REASON_CHARS_MAX:
            raise InvalidInput(f"reason must have at most {limits.REASON_CHARS_MAX} characters")


class Draft:
    """A commit in the making: `txn` sees what was appended so far."""

    def __init__(self, txn: Writer, root: Root, time_ms: int) -> None:
        self.txn = txn
        self.root = root
        self._time_ms = time_ms

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
        sequence = log.log_size(self.txn) + 1
        entry = Entry(
            sequence, self._time_ms, change.actor, kind, subject,
            before, after, change.reason, change.request_id,
        )  # fmt: skip
        record = LogRecord.seal(entry, tag, os.urandom(SALT_BYTES))
        log.append(self.txn, self.root, record, entry)
        if (sequence + 1) % limits.ENTRIES_PER_STATE == 0:
            self._append_state(sequence + 1)
        return entry

    def _append_state(self, sequence: int) -> None:
        """Every 10,000th entry says what the tables are, so that snapshots can be verified."""
        after = {"tables": str(tables_digest(self.txn))}
        entry = Entry(
            sequence, self._time_ms, "registry", EntryType.STATE, subjects.REGISTRY, None, after,
            "", "",
        )  # fmt: skip
        record = LogRecord.seal(entry, REGISTRY_TAG, os.urandom(SALT_BYTES))
        log.append(self.txn, self.root, record, entry)


class Ledger:
    """`clock_ms` gives Unix milliseconds; `authority` signs a checkpoint per commit."""

    def __init__(
        self, store: Store, root: Root, authority: SigningKey | None, clock_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._root = root
        self._authority = authority
        self._clock_ms = clock_ms

    def read(self) -> AbstractContextManager[Reader]:
        return self._store.read()

    def commit(self, make: Callable[[Draft], T]) -> T:
        """Run `make` on a draft; what it appended becomes durable, all or nothing."""
        authority = self._require_authority()
        with self._store.write() as txn:
            draft = Draft(txn, self._root, self._clock_ms())
            size = log.log_size(txn)
            made = make(draft)
            if log.log_size(txn) != size:
                self._sign(txn, authority)
        return made

    def refresh_checkpoint(self) -> None:
        """Sign the present size and root again with the present time (each idle minute)."""
        authority = self._require_authority()
        with self._store.write() as txn:
            self._sign(txn, authority)

    def close(self) -> None:
        self._store.close()

    def _require_authority(self) -> SigningKey:
        if self._authority is None:
            raise LedgerUnavailable("the registry was opened read-only: open it for writing")
        return self._authority

    def _sign(self, txn: Writer, authority: SigningKey) -> None:
        checkpoint = Checkpoint(
            self._root.registry, log.log_size(txn), log.log_root(txn), self._clock_ms()
        )
        log.store_checkpoint(txn, sign_checkpoint(checkpoint, authority))
