"""Announcing pushes over the ledger in this process. (What collects is `registry_core.garbage`.)"""

from __future__ import annotations

import threading
from collections.abc import Collection

from registry_core.changes import garbage
from registry_core.changes.garbage import Push
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.packs import PackName
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger


class EmbeddedGarbage:
    """See `registry_core.control.garbage`. `turn` is held by the run of gc in this process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.turn = threading.Lock()

    def begin_push(self, model: ModelName, manifest: Digest, change: Change) -> Push:
        return self._ledger.commit(
            lambda commit: garbage.begin_push(commit, model, manifest, change)
        )

    def end_push(self, model: ModelName, push: bytes, change: Change) -> None:
        self._ledger.commit(lambda commit: garbage.end_push(commit, model, push, change))

    def has_condemned(self) -> bool:
        with self._ledger.read() as txn:
            return any(True for _ in garbage.condemned(txn))

    def refuse_condemned(self, packs: Collection[PackName]) -> None:
        """Before the origin is looked at: what is not condemned now, while the push is under way,
        stays until it has ended."""
        with self._ledger.read() as txn:
            garbage.refuse_condemned(txn, packs)
