"""Asking the log about the past.

registry.audit.at(time_ms, "fraud@production")    # what served then, by whom, on what evidence
registry.audit.entries(AuditQuery(since_ms=…, actor="ci"))
"""

from __future__ import annotations

from collections.abc import Iterator

from registry_core.control.audit import AuditControl
from registry_core.domain import limits
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import ModelName, StageRef
from registry_core.domain.past import AuditQuery, ServedThen


class Audit:
    """`Registry.audit`."""

    def __init__(self, control: AuditControl) -> None:
        self._control = control

    def entries(self, query: AuditQuery) -> Iterator[Entry]:
        """All that `query` wants, in the log's order, page by page as it is wanted."""
        after = 0
        while True:
            page = self._control.entries(query, after, limits.PAGE_SIZE_MAX)
            yield from page.entries
            after = page.next
            if not after:
                return

    def at(self, time_ms: int, reference: str = "") -> Iterator[ServedThen]:
        """What `NAME@STAGE`, all stages of `NAME`, or all stages of all models meant at a moment
        (Unix milliseconds). A stage that had no move yet is left out."""
        if "@" in reference:
            ref = StageRef.parse(reference)
            yield from self._control.served_at(time_ms, ref.model, ref.stage, "").stages
            return
        model, after = ModelName.parse(reference) if reference else None, ""
        while True:
            page = self._control.served_at(time_ms, model, None, after)
            yield from page.stages
            after = page.next
            if not after:
                return
