"""Events from the ledger in this process."""

from __future__ import annotations

import time

from registry_core.domain.cloud_event import EventFilter
from registry_core.ledger.consumers import Batch, read_events
from registry_core.ledger.ledger import Ledger

_LOOK_S = 0.1


class EmbeddedEvents:
    """See `registry_core.control.events`. Other processes' changes are looked for."""

    def __init__(self, ledger: Ledger, registry: str) -> None:
        self._ledger = ledger
        self._registry = registry

    def read(self, wanted: EventFilter, after: int, limit: int, wait_s: int) -> Batch:
        deadline = time.monotonic() + wait_s
        while True:
            with self._ledger.read() as txn:
                batch = read_events(txn, self._registry, wanted, after, limit)
            if batch.events or time.monotonic() >= deadline:
                return batch
            if batch.next == after:
                time.sleep(_LOOK_S)
            after = batch.next
