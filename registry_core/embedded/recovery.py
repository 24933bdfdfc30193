"""Epochs over the ledger in this process."""

from __future__ import annotations

from registry_core.changes import epochs
from registry_core.control.recovery import RecoveryState
from registry_core.domain.epoch import Epoch
from registry_core.ledger import log, loss, queries
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger
from registry_core.trust.dsse import Envelope


class EmbeddedRecovery:
    """See `registry_core.control.recovery`."""

    def __init__(self, ledger: Ledger, registry: str) -> None:
        self._ledger = ledger
        self._registry = registry

    def state(self) -> RecoveryState:
        with self._ledger.read() as txn:
            return RecoveryState(
                queries.epoch(txn), loss.lost(txn), log.log_size(txn), log.log_root(txn).hex()
            )

    def next_epoch(self) -> Epoch:
        with self._ledger.read() as txn:
            return epochs.next_epoch(txn, self._registry)

    def open_epoch(self, envelope: Envelope, change: Change) -> RecoveryState:
        self._ledger.commit(lambda commit: epochs.open_epoch(commit, envelope, change))
        return self.state()
