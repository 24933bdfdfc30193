"""Events over HTTP: see `registry_core.control.events`."""

from __future__ import annotations

from urllib.parse import urlencode

from cachd.control import documents
from cachd.control.calls import Calls
from registry_core.domain.cloud_event import EventFilter
from registry_core.ledger.consumers import Batch


class RemoteEvents:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, wanted: EventFilter, after: int, limit: int, wait_s: int) -> Batch:
        asked = urlencode(
            {"types": ",".join(wanted.types), "model": wanted.model, "after": after,
             "limit": limit, "wait": wait_s}
        )  # fmt: skip
        body = self._calls.get(documents.BatchBody, f"/v1/events?{asked}")
        return Batch(body.events, body.next)
