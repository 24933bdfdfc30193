"""The past over the ledger in this process."""

from __future__ import annotations

from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.past import AuditPage, AuditQuery, ServedPage
from registry_core.ledger import past
from registry_core.ledger.ledger import Ledger


class EmbeddedAudit:
    """See `registry_core.control.audit`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def entries(self, query: AuditQuery, after: int, limit: int) -> AuditPage:
        with self._ledger.read() as txn:
            return past.entries(txn, query, after, limit)

    def served_at(
        self, time_ms: int, model: ModelName | None, stage: StageName | None, after: str
    ) -> ServedPage:
        with self._ledger.read() as txn:
            return past.served_at(txn, time_ms, model, stage, after)
