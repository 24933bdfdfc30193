"""The past: entries of the log, and what stages meant at a moment."""

from __future__ import annotations

import asyncio

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import whole_number
from cachd.control.documents import AuditBody, EntryBody
from registry_core.domain import limits
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.past import AuditQuery, ServedPage
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput

_LIMIT_DEFAULT = 100
_ENTRIES = (
    ("since_ms", "Unix milliseconds, default 0"),
    ("until_ms", "Unix milliseconds, default: now"),
    ("actor", "who, all of it, or its beginning with * behind"),
    ("type", "types that begin with this, as stage or move.approved"),
    ("model", "only what is about this model"),
    ("after", "entries beyond this one: `next` of the page before"),
    ("limit", f"1 to {limits.PAGE_SIZE_MAX}, default {_LIMIT_DEFAULT}"),
)
_SERVED = (
    ("at_ms", "Unix milliseconds"),
    ("model", "of this model; without it of all, page by page"),
    ("stage", "of this stage"),
    ("after", "models beyond this one: `next` of the page before"),
)


class AuditApi:
    """Reads may go through much of the log, so they run in threads."""

    def __init__(self, control: EmbeddedControl) -> None:
        self._audit = control.audit

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/audit", self.entries,
                      "Who changed what, when and why: entries of the log", AuditBody,
                      query=_ENTRIES),
            Operation("GET", "/v1/audit/served", self.served,
                      "What stages meant at a moment, who approved it, on what evidence",
                      ServedPage, query=_SERVED),
        ]  # fmt: skip

    async def entries(self, request: web.Request) -> web.StreamResponse:
        query = AuditQuery(
            whole_number(request, "since_ms", 0, limits.INTEGER_MAX, 0),
            whole_number(request, "until_ms", 0, limits.INTEGER_MAX, limits.INTEGER_MAX),
            _short(request, "actor"),
            _short(request, "type"),
            _model(request),
        )
        after = whole_number(request, "after", 0, limits.INTEGER_MAX, 0)
        limit = whole_number(request, "limit", 1, limits.PAGE_SIZE_MAX, _LIMIT_DEFAULT)
        page = await asyncio.to_thread(self._audit.entries, query, after, limit)
        return answer(AuditBody([EntryBody.of(entry) for entry in page.entries], page.next))

    async def served(self, request: web.Request) -> web.StreamResponse:
        at_ms = whole_number(request, "at_ms", 0, limits.INTEGER_MAX, -1)
        if at_ms < 0:
            raise InvalidInput("at_ms is missing: the moment, in Unix milliseconds")
        stage = request.query.get("stage", "")
        after = request.query.get("after", "")
        if after:
            ModelName.parse(after)
        wanted = StageName.parse(stage) if stage else None
        model = _model(request)
        page = await asyncio.to_thread(self._audit.served_at, at_ms, model, wanted, after)
        return answer(page)


def _model(request: web.Request) -> ModelName | None:
    text = request.query.get("model", "")
    return ModelName.parse(text) if text else None


def _short(request: web.Request, name: str) -> str:
    text = request.query.get(name, "")
    if len(text) > limits.ACTOR_CHARS_MAX:
        raise InvalidInput(f"{name} is longer than {limits.ACTOR_CHARS_MAX} characters")
    return text
