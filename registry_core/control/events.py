"""The log as events."""

from __future__ import annotations

from typing import Protocol

from registry_core.domain.cloud_event import EventFilter
from registry_core.ledger.consumers import Batch


class EventControl(Protocol):
    def read(self, wanted: EventFilter, after: int, limit: int, wait_s: int) -> Batch:
        """The next events beyond position `after`; with `wait_s`, up to so many seconds of waiting
        for the first."""
        ...
