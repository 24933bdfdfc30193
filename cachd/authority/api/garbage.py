"""Pushes that announce themselves, and runs of gc."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of, model_of, push_of
from cachd.api.writes import Writes
from cachd.authority.gc_runs import GcRuns
from cachd.control.documents import ChoiceBody, DoneBody
from cachd.control.documents_garbage import BeginPushBody, GcBody, GcRunBody, PushBody
from registry_core.domain.identifiers import Digest
from registry_core.embedded.control import EmbeddedControl

_PUSHES = "/v1/models/{model}/pushes"


class GarbageApi:
    def __init__(self, control: EmbeddedControl, runs: GcRuns, writes: Writes) -> None:
        self._garbage = control.garbage
        self._runs = runs
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("POST", _PUSHES, self.begin_push,
                      "Announce a push before its first upload", PushBody, BeginPushBody),
            Operation("DELETE", _PUSHES + "/{push}", self.end_push,
                      "A push was given up; registering ends it as well", DoneBody, ChoiceBody),
            Operation("POST", "/v1/gc", self.collect,
                      "Start collecting garbage, or looking at what would go", GcRunBody, GcBody),
            Operation("GET", "/v1/gc", self.gc_run,
                      "How far gc is, or what it did last", GcRunBody),
        ]  # fmt: skip

    async def begin_push(self, request: web.Request) -> web.StreamResponse:
        model = model_of(request)
        body = await body_of(request, BeginPushBody)
        manifest = Digest.parse(body.manifest)
        change = await change_of(request, body.change)
        made = await self._writes.run(lambda: self._garbage.begin_push(model, manifest, change))
        return answer(PushBody(made.id.hex(), sorted(pack.hex for pack in made.condemned)))

    async def end_push(self, request: web.Request) -> web.StreamResponse:
        model, push = model_of(request), push_of(request)
        body = await body_of(request, ChoiceBody)
        change = await change_of(request, body.change)
        await self._writes.run(lambda: self._garbage.end_push(model, push, change))
        return answer(DoneBody())

    async def collect(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, GcBody)
        change = await change_of(request, body.change)
        return answer(self._runs.start(change, dry_run=body.dry_run))

    async def gc_run(self, request: web.Request) -> web.StreamResponse:
        return answer(self._runs.state())
