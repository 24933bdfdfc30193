"""Waiting for events. Event loop only."""

from __future__ import annotations

from cachd.api.log_watch import LogWatch
from cachd.authority.delivery.settings import READ_EVENTS
from cachd.authority.delivery.threads import Threads
from registry_core.domain.cloud_event import EventFilter
from registry_core.ledger.consumers import Batch, read_events
from registry_core.ledger.ledger import Ledger


class EventLog:
    def __init__(self, ledger: Ledger, registry: str, watch: LogWatch, threads: Threads) -> None:
        self._ledger = ledger
        self._registry = registry
        self._watch = watch
        self._threads = threads

    async def beyond(self, wanted: EventFilter, after: int) -> Batch:
        """What comes next, at least one entry; there may be no event among them."""
        while True:
            seen = self._watch.count
            batch = await self._threads.run(lambda: self._read(wanted, after))
            if batch.next != after:
                return batch
            await self._watch.wait(seen)

    def _read(self, wanted: EventFilter, after: int) -> Batch:
        with self._ledger.read() as txn:
            return read_events(txn, self._registry, wanted, after, READ_EVENTS)
