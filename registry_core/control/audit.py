"""What there is to ask about the past."""

from __future__ import annotations

from typing import Protocol

from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.past import AuditPage, AuditQuery, ServedPage


class AuditControl(Protocol):
    def entries(self, query: AuditQuery, after: int, limit: int) -> AuditPage:
        """A page of what `query` wants, beyond entry `after`. May be short and still go on."""
        ...

    def served_at(
        self, time_ms: int, model: ModelName | None, stage: StageName | None, after: str
    ) -> ServedPage:
        """What stages meant at `time_ms`; of all models, page by page, beyond model `after`."""
        ...
