"""The writable ledger: entries, tables and a signed checkpoint, committed in one transaction.

Any thread may read and commit; commits of several threads are grouped (`commit_queue`). What
`commit` returned from survives kill -9 and power loss; a commit that raised left nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from registry_core.domain import limits
from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.policy import Root
from registry_core.errors import LedgerUnavailable
from registry_core.ledger import log, queries
from registry_core.ledger.commit_queue import CommitQueue, Ticket
from registry_core.ledger.draft import Draft
from registry_core.ledger.memory_store import Overlay
from registry_core.ledger.store import Reader, Store, Writer
from registry_core.trust.keys import SigningKey
from registry_core.trust.note import sign_checkpoint

T = TypeVar("T")


class Ledger:
    """`clock_ms` gives Unix milliseconds; `authority` signs a checkpoint per commit."""

    def __init__(
        self, store: Store, root: Root, authority: SigningKey | None, clock_ms: Callable[[], int]
    ) -> None:
        self.store = store
        self._root = root
        self._authority = authority
        self._clock_ms = clock_ms
        self._queue: CommitQueue[Draft] = CommitQueue(
            self._commit_batch, limits.COMMITS_PER_BATCH_MAX
        )

    def read(self) -> AbstractContextManager[Reader]:
        return self.store.read()

    def size(self) -> int:
        """Entries in the log."""
        with self.read() as txn:
            return log.log_size(txn)

    def commit(self, make: Callable[[Draft], T]) -> T:
        """Run `make` on a draft; what it appended becomes durable, all or nothing.

        `make` may run in another caller's thread, once. It must not commit itself."""
        self._require_authority()
        return self._queue.run(make)

    def refresh_checkpoint(self) -> None:
        """Sign the present size and root again with the present time (each idle minute)."""
        authority = self._require_authority()
        with self.store.write() as txn:
            self._sign(txn, authority)

    def checkpoint_at(self, txn: Reader, size: int) -> bytes:
        """A signed checkpoint of the log's first `size` entries, with the time of the last of them;
        the stored one where they are all there are."""
        authority, note = self._require_authority(), log.stored_checkpoint(txn)
        if note is not None and size == log.log_size(txn):
            return note
        last_ms = queries.log_record(txn, size).entry().time_ms
        checkpoint = Checkpoint(self._root.registry, size, log.root_at(txn, size), last_ms)
        return sign_checkpoint(checkpoint, authority)

    def close(self) -> None:
        self.store.close()

    def _commit_batch(self, batch: Sequence[Ticket[Draft, object]]) -> None:
        """One transaction; each ticket's work lies on a layer of its own until it has succeeded."""
        authority = self._require_authority()
        with self.store.write() as txn:
            size = log.log_size(txn)
            for ticket in batch:
                layer = Overlay(txn)
                if ticket.attempt(Draft(layer, self._root, self._clock_ms())):
                    layer.flush(txn)
            if log.log_size(txn) != size:
                self._sign(txn, authority)

    def _require_authority(self) -> SigningKey:
        if self._authority is None:
            raise LedgerUnavailable("the registry was opened read-only: open it for writing")
        return self._authority

    def _sign(self, txn: Writer, authority: SigningKey) -> None:
        checkpoint = Checkpoint(
            self._root.registry, log.log_size(txn), log.log_root(txn), self._clock_ms()
        )
        log.store_checkpoint(txn, sign_checkpoint(checkpoint, authority))
