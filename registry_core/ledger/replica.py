"""A replica: the same log and tables, fed by somebody else's stream and trusting only the root.

Nothing is applied that no signed checkpoint covers: a batch is appended, its root compared with
the checkpoint's, and only then committed. A checkpoint of a size already held must show the same
root; another root is a fork of the log, and the replica refuses it, unless the owners have opened
a new epoch in it (`rebuild`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar

from registry_core.domain.checkpoint import Checkpoint
from registry_core.domain.entry import LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import IntegrityError, InvalidInput
from registry_core.ledger import log, queries
from registry_core.ledger.memory_store import Overlay
from registry_core.ledger.store import DERIVED, Reader, Store, Table, Writer
from registry_core.trust.note import verify_checkpoint

T = TypeVar("T")


class ForkDetected(IntegrityError):
    """Two signed checkpoints contradict each other: the authority, or its key, is compromised."""

    code = "fork_detected"


class Replica:
    """One writer at a time; reads from any thread. A crash leaves the last applied batch."""

    def __init__(self, store: Store, root: Root) -> None:
        self._store = store
        self.root = root
        self._verify = lru_cache(maxsize=4)(lambda note: verify_checkpoint(note, root))
        with store.write() as txn:
            known = log.stored_root(txn)
            if known is not None and known.digest != root.digest:
                raise InvalidInput(
                    f"this replica belongs to registry {known.registry} and another root: use an "
                    "empty directory for another registry"
                )
            if known is None:
                log.store_root(txn, root)

    def read(self) -> AbstractContextManager[Reader]:
        return self._store.read()

    def size(self) -> int:
        with self._store.read() as txn:
            return log.log_size(txn)

    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that was applied."""
        with self._store.read() as txn:
            note = log.stored_checkpoint(txn)
        return self._verify(note) if note else None

    def preview(self, records: Sequence[LogRecord], note: bytes, look: Callable[[Reader], T]) -> T:
        """What `look` makes of the state that `apply` would commit: verified the same way, kept
        nowhere, and without waiting for the disk."""
        with self._store.read() as txn:
            overlay = Overlay(txn)
            self._append(overlay, records, note)
            return look(overlay)

    def apply(self, records: Sequence[LogRecord], note: bytes) -> Checkpoint:
        """Append `records`, which must be exactly what `note` covers beyond what is held."""
        with self._store.write() as txn:
            checkpoint = self._append(txn, records, note)
            log.store_checkpoint(txn, note)
            log.keep_note(txn, checkpoint.size, note)
        return checkpoint

    def is_behind(self, note: bytes) -> bool:
        """Whether `note` is of this very log, and of fewer entries than are held."""
        checkpoint = self._verify(note)
        with self._store.read() as txn:
            behind = 0 < checkpoint.size < log.log_size(txn)
            return behind and log.root_at(txn, checkpoint.size) == checkpoint.root

    @property
    def store(self) -> Store:
        """To read from, beside."""
        return self._store

    def rebuild(self, records: Sequence[LogRecord], note: bytes) -> Checkpoint:
        """Give up the log that is held for the one that `records` and `note` are, from the first
        entry on, if its owners opened an epoch beyond the one held here. Otherwise ForkDetected."""
        with self._store.write() as txn:
            before = queries.epoch(txn)
            for table in (Table.META, Table.LOG, Table.TREE, *DERIVED):
                for key in [key for key, _ in txn.scan(table)]:
                    txn.delete(table, key)
            log.store_root(txn, self.root)
            checkpoint = self._append(txn, records, note)
            if queries.epoch(txn) <= before:
                raise ForkDetected(
                    "the authority shows another log than it signed before, in which the owners "
                    "opened no epoch: this node keeps serving and adopts nothing more"
                )
            log.store_checkpoint(txn, note)
        return checkpoint

    def epoch(self) -> int:
        with self._store.read() as txn:
            return queries.epoch(txn)

    def _append(self, txn: Writer, records: Sequence[LogRecord], note: bytes) -> Checkpoint:
        checkpoint = self._verify(note)
        self._refuse_rollback(txn, checkpoint)
        for record in records:
            log.append(txn, self.root, record, record.entry())
        if log.log_size(txn) != checkpoint.size:
            raise IntegrityError(
                "the log's stream does not end at its checkpoint",
                expected=str(checkpoint.size),
                actual=str(log.log_size(txn)),
            )
        actual = log.log_root(txn)
        if actual != checkpoint.root:
            raise ForkDetected(
                f"the log contradicts its checkpoint at size {checkpoint.size}: this node "
                "keeps serving and adopts nothing more; compare with other nodes",
                expected=checkpoint.root.hex(),
                actual=actual.hex(),
            )
        return checkpoint

    def close(self) -> None:
        self._store.close()

    def _refuse_rollback(self, txn: Writer, checkpoint: Checkpoint) -> None:
        held = log.stored_checkpoint(txn)
        if held is None:
            return
        known = self._verify(held)
        if checkpoint.size < known.size:
            raise ForkDetected(
                "the authority shows a shorter log than it signed before: it was restored or "
                "rolled back; this node keeps serving and adopts nothing more",
                expected=f">= {known.size} entries",
                actual=str(checkpoint.size),
            )
