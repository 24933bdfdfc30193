"""Models and their versions."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import (
    body_of,
    change_of,
    model_of,
    newest,
    parse_push,
    version_of,
)
from cachd.api.writes import Writes
from cachd.control import documents
from registry_core.changes.versions import VersionDraft
from registry_core.domain.identifiers import Digest
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import NotFound, Stale
from registry_core.ledger.records import ModelRecord, VersionRecord

MODEL = "/v1/models/{model}"
NEWEST = (("newest", "how many, newest first (1 to 1000, default 100)"),)


class ModelsApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._control = control
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/models", self.models,
                      "All models", documents.ModelsBody),
            Operation("GET", MODEL, self.model,
                      "One model", ModelRecord),
            Operation("GET", f"{MODEL}/versions", self.versions,
                      "Versions, newest first", documents.VersionsBody, query=NEWEST),
            Operation("POST", f"{MODEL}/versions", self.register,
                      "Register a version whose objects are in the origin",
                      documents.RegisteredBody, documents.RegisterBody, creates=True),
            Operation("GET", MODEL + "/versions/{version}", self.version,
                      "One version, by number or digest", VersionRecord),
            Operation("GET", f"{MODEL}/history", self.history,
                      "Who changed what, newest first", documents.HistoryBody, query=NEWEST),
        ]  # fmt: skip

    async def models(self, request: web.Request) -> web.StreamResponse:
        return answer(documents.ModelsBody(list(self._control.models())))

    async def model(self, request: web.Request) -> web.StreamResponse:
        name = model_of(request)
        found = self._control.find_model(name)
        if found is None:
            raise NotFound(f"there is no model {name}: `cachctl list` shows those there are")
        return answer(found)

    async def versions(self, request: web.Request) -> web.StreamResponse:
        found = self._control.versions(model_of(request), newest=newest(request))
        return answer(documents.VersionsBody(list(found)))

    async def version(self, request: web.Request) -> web.StreamResponse:
        return answer(self._control.resolve(version_of(request)).version)

    async def history(self, request: web.Request) -> web.StreamResponse:
        entries = self._control.history(model_of(request), newest=newest(request))
        return answer(documents.HistoryBody([documents.EntryBody.of(entry) for entry in entries]))

    async def register(self, request: web.Request) -> web.StreamResponse:
        model = model_of(request)
        body = await body_of(request, documents.RegisterBody)
        push = parse_push(body.push) if body.push else b""
        draft = VersionDraft(
            model,
            Digest.parse(body.manifest),
            Digest.parse_hex(body.bundle),
            body.chunk_bytes,
            body.tags,
            body.notes,
            body.fields,
            push,
        )
        change = await change_of(request, body.change)
        version, created = await self._writes.run(lambda: self._control.register(draft, change))
        if not created and request.headers.get("If-None-Match") == "*":
            raise Stale(
                f"these files are {model}/{version.number} already",
                expected="no such version",
                actual=f"{model}/{version.number}",
            )
        return answer(documents.RegisteredBody(version, created), status=201 if created else 200)
