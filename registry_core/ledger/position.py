"""How far a publisher of the log has come: a cursor of the registry's own. Soft state."""

from __future__ import annotations

from collections.abc import Callable

from registry_core.ledger.store import Reader, Store, Table


class Position:
    """Of the publisher `name`; the beginning of the log until it was moved. Threads: any."""

    def __init__(self, store: Store, name: str, guard: Callable[[Reader], None]) -> None:
        self._store = store
        self._key = f"position/{name}".encode()
        self._guard = guard

    def get(self) -> int:
        with self._store.read() as txn:
            data = txn.get(Table.DELIVERIES, self._key)
            return int.from_bytes(data, "big") if data else 0

    def move(self, sequence: int) -> None:
        """Everything up to `sequence` is published. The guard raises if another does it by now."""
        with self._store.write() as txn:
            self._guard(txn)
            txn.put(Table.DELIVERIES, self._key, sequence.to_bytes(8, "big"))
