"""The past over HTTP: see `registry_core.control.audit`."""

from __future__ import annotations

from urllib.parse import urlencode

from cachd.control.calls import Calls
from cachd.control.documents import AuditBody
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.past import AuditPage, AuditQuery, ServedPage


class RemoteAudit:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def entries(self, query: AuditQuery, after: int, limit: int) -> AuditPage:
        asked = {
            "since_ms": query.since_ms, "until_ms": query.until_ms, "actor": query.actor,
            "type": query.kind, "model": query.model or "", "after": after, "limit": limit,
        }  # fmt: skip
        body = self._calls.get(AuditBody, f"/v1/audit?{urlencode(asked)}")
        return AuditPage([one.entry() for one in body.entries], body.next)

    def served_at(
        self, time_ms: int, model: ModelName | None, stage: StageName | None, after: str
    ) -> ServedPage:
        asked = {"at_ms": time_ms, "model": model or "", "stage": stage or "", "after": after}
        return self._calls.get(ServedPage, f"/v1/audit/served?{urlencode(asked)}")
