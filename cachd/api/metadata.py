"""What people say about models and versions, and finding versions by it."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of, model_of, version_of, whole_number
from cachd.api.writes import Writes
from cachd.control import documents
from registry_core.domain import limits
from registry_core.domain.identifiers import parse_version_number
from registry_core.domain.search.field_mask import masked, parse_mask
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger.records import ModelRecord, VersionRecord
from registry_core.ledger.search import Query

_FIELDS = VersionRecord.__struct_fields__
_QUERY = (
    ("filter", "e.g. tags.team = 'fraud' AND metrics.auc >= 0.93; empty: all versions"),
    ("order_by", "e.g. metrics.auc DESC; name, number, created, bytes, metrics.KEY"),
    ("page_size", "at most so many versions (1 to 1000, default 100); a page may be shorter"),
    ("page_token", "`next` of the page before"),
    ("fields", "fields to show, e.g. model,number,tags.team; default all"),
)


class MetadataApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._control = control
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/versions", self.search,
                      "Versions that match a filter, a page at a time", documents.PageBody,
                      query=_QUERY),
            Operation("PATCH", "/v1/models/{model}", self.annotate_model,
                      "Set or take away fields of a model", ModelRecord, documents.AnnotateBody),
            Operation("PATCH", "/v1/models/{model}/versions/{version}", self.annotate_version,
                      "Set or take away fields of a version", VersionRecord,
                      documents.AnnotateBody),
            Operation("DELETE", "/v1/models/{model}/versions/{version}", self.delete_version,
                      "Delete a version that no stage names; a tombstone stays", VersionRecord,
                      documents.ChoiceBody),
        ]  # fmt: skip

    async def search(self, request: web.Request) -> web.StreamResponse:
        said = request.query
        size = whole_number(request, "page_size", 1, limits.PAGE_SIZE_MAX, 100)
        mask = parse_mask(said.get("fields", ""), _FIELDS)
        query = Query.parse(
            said.get("filter", ""), said.get("order_by", ""), size, said.get("page_token", "")
        )
        page = await asyncio.to_thread(self._control.metadata.search, query)
        if not mask:
            return answer(documents.PageBody(page.versions, page.next))
        shown = [masked(msgspec.to_builtins(version), mask) for version in page.versions]
        return answer({"versions": shown, "next": page.next})

    async def annotate_version(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.AnnotateBody)
        change = await change_of(request, body.change)
        version = self._control.resolve(version_of(request)).version
        return answer(
            await self._writes.run(
                lambda: self._control.metadata.annotate_version(
                    model_of(request), version.number, body.fields, change
                )
            )
        )

    async def delete_version(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.ChoiceBody)
        change = await change_of(request, body.change)
        model, number = model_of(request), parse_version_number(request.match_info["version"])
        return answer(
            await self._writes.run(
                lambda: self._control.metadata.delete_version(model, number, change)
            )
        )

    async def annotate_model(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.AnnotateBody)
        change = await change_of(request, body.change)
        model = model_of(request)
        return answer(
            await self._writes.run(
                lambda: self._control.metadata.annotate_model(model, body.fields, change)
            )
        )
