"""The operations of the control API: one method each, over the embedded control.

Handlers run on the event loop. Reads are microseconds and stay there; writes wait for the disk and
run in threads; after each one the log's readers are woken.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from cachd.authority import guards
from cachd.authority.fleet import Fleet
from cachd.authority.log_stream import stream_log
from cachd.authority.log_watch import LogWatch
from cachd.authority.middleware import problem_response
from cachd.authority.operations import Operation
from cachd.control import documents, log_frames
from cachd.control.reports import NodeReport, NodesBody, ReportAnswer
from registry_core.changes.versions import VersionDraft
from registry_core.domain import limits
from registry_core.domain.identifiers import (
    Digest,
    ModelName,
    NodeId,
    StageName,
    VersionRef,
    parse_hex32,
    parse_version_number,
)
from registry_core.domain.move import Move
from registry_core.embedded import EmbeddedControl
from registry_core.errors import IntegrityError, InvalidInput, NotFound, Stale
from registry_core.ledger.records import ModelRecord, StageRecord, VersionRecord
from registry_core.origin.layout import bundle_key, manifest_key
from registry_core.origin.store import Origin
from registry_core.trust.dsse import Envelope

T = TypeVar("T")


class ControlApi:
    """Handlers over one ledger."""

    def __init__(
        self,
        control: EmbeddedControl,
        origin: Origin,
        origin_options: dict[str, Any],
        fleet: Fleet,
        watch: LogWatch,
    ) -> None:
        self._control = control
        self._origin = origin
        self._origin_options = origin_options
        self._fleet = fleet
        self._watch = watch

    def operations(self) -> list[Operation]:
        """Every operation there is."""
        newest = (("newest", "how many, newest first (1 to 1000, default 100)"),)
        model, stage = "/v1/models/{model}", "/v1/models/{model}/stages/{stage}"
        return [
            Operation("GET", "/v1/registry", self.registry,
                      "The registry: root of trust, policy, origin", documents.RegistryBody),
            Operation("GET", "/v1/models", self.models,
                      "All models", documents.ModelsBody),
            Operation("GET", model, self.model,
                      "One model", ModelRecord),
            Operation("GET", f"{model}/versions", self.versions,
                      "Versions, newest first", documents.VersionsBody, query=newest),
            Operation("POST", f"{model}/versions", self.register,
                      "Register a version whose objects are in the origin",
                      documents.RegisteredBody, documents.RegisterBody, creates=True),
            Operation("GET", model + "/versions/{version}", self.version,
                      "One version, by number or digest", VersionRecord),
            Operation("GET", f"{model}/stages", self.stages,
                      "The stages of a model", documents.StagesBody),
            Operation("GET", stage, self.stage,
                      "One stage; its ETag is the guard for changing it", StageRecord),
            Operation("POST", f"{stage}/move", self.move,
                      "Commit a signed move", StageRecord, documents.MoveBody, guarded=True),
            Operation("POST", f"{stage}/choice", self.choice,
                      "Toggle the version in force between the two of the current move",
                      StageRecord, documents.ChoiceBody, guarded=True),
            Operation("GET", f"{model}/history", self.history,
                      "Who changed what, newest first", documents.HistoryBody, query=newest),
            Operation("GET", f"{model}/status", self.status,
                      "Desired and observed version per node", None),
            Operation("GET", "/v1/resolve", self.resolve,
                      "What a version reference means now", documents.ResolvedBody,
                      query=(("ref", "NAME@STAGE, NAME/NUMBER or NAME@sha256:…"),)),
            Operation("GET", "/v1/log", self.log,
                      "The log from a position on, as a stream of frames", None,
                      query=(("after", "last sequence that is held already, default 0"),
                             ("follow", "1 (default): go on as the log grows; 0: end")),
                      media_type=log_frames.CONTENT_TYPE),
            Operation("GET", "/v1/nodes", self.nodes,
                      "What nodes report", NodesBody),
            Operation("PUT", "/v1/nodes/{node}", self.report,
                      "A node reports; the answer names its peers", ReportAnswer, NodeReport),
        ]  # fmt: skip

    async def registry(self, request: web.Request) -> web.StreamResponse:
        root, policy = self._control.root(), self._control.policy()
        return _json(
            documents.RegistryBody(
                root.registry,
                root.encoded.decode(),
                policy.encoded.decode(),
                self._control.origin_url(),
                self._origin_options,
            )
        )

    async def models(self, request: web.Request) -> web.StreamResponse:
        return _json(documents.ModelsBody(list(self._control.models())))

    async def model(self, request: web.Request) -> web.StreamResponse:
        name = _model(request)
        found = self._control.find_model(name)
        if found is None:
            raise NotFound(f"there is no model {name}: `cachctl list` shows those there are")
        return _json(found)

    async def versions(self, request: web.Request) -> web.StreamResponse:
        found = self._control.versions(_model(request), newest=_newest(request))
        return _json(documents.VersionsBody(list(found)))

    async def version(self, request: web.Request) -> web.StreamResponse:
        text = request.match_info["version"]
        if text.startswith("sha256:"):
            ref = VersionRef(_model(request), digest=Digest.parse(text))
        else:
            ref = VersionRef(_model(request), number=parse_version_number(text))
        return _json(self._control.resolve(ref).version)

    async def stages(self, request: web.Request) -> web.StreamResponse:
        return _json(documents.StagesBody(list(self._control.stages(_model(request)))))

    async def stage(self, request: web.Request) -> web.StreamResponse:
        model, stage = _model(request), _stage(request)
        found = self._control.find_stage(model, stage)
        if found is None:
            raise NotFound(f"nothing was promoted to {model}@{stage} yet")
        return _json(found, ETag=guards.etag(found))

    async def history(self, request: web.Request) -> web.StreamResponse:
        entries = self._control.history(_model(request), newest=_newest(request))
        return _json(documents.HistoryBody([documents.EntryBody.of(entry) for entry in entries]))

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        found = self._control.resolve(VersionRef.parse(request.query.get("ref", "")))
        return _json(documents.ResolvedBody(found.version, found.stage))

    async def register(self, request: web.Request) -> web.StreamResponse:
        model = _model(request)
        body = documents.decode(documents.RegisterBody, await request.read(), "the body")
        manifest, bundle = Digest.parse(body.manifest), parse_hex32(body.bundle, "bundle digest")
        change = body.change.change()

        def work() -> tuple[VersionRecord, bool]:
            draft = VersionDraft(
                model,
                self._object(manifest_key(manifest), limits.MANIFEST_MAX, manifest.raw),
                self._object(bundle_key(manifest), limits.BUNDLE_MAX, bundle),
                body.chunk_bytes,
                body.tags,
                body.notes,
            )
            return self._control.register(draft, change)

        version, created = await self._change(work)
        return _json(documents.RegisteredBody(version, created), status=201 if created else 200)

    async def move(self, request: web.Request) -> web.StreamResponse:
        model, stage = _model(request), _stage(request)
        guard = guards.require_guard(request)
        body = documents.decode(documents.MoveBody, await request.read(), "the body")
        envelope, change = Envelope.from_json(body.envelope), body.change.change()
        move = Move.parse(envelope.payload)
        if (move.model, move.stage) != (model, stage):
            raise InvalidInput(f"the move is of {move.model}@{move.stage}, not {model}@{stage}")
        signed = envelope if envelope.signatures else None
        try:
            moved = await self._change(lambda: self._control.move(move, signed, guard, change))
        except Stale as error:
            return self._stale(error, model, stage)
        return _json(moved, ETag=guards.etag(moved))

    async def choice(self, request: web.Request) -> web.StreamResponse:
        model, stage = _model(request), _stage(request)
        guard = guards.require_guard(request)
        body = documents.decode(documents.ChoiceBody, await request.read(), "the body")
        change = body.change.change()
        try:
            chosen = await self._change(lambda: self._control.choose(model, stage, guard, change))
        except Stale as error:
            return self._stale(error, model, stage)
        return _json(chosen, ETag=guards.etag(chosen))

    async def status(self, request: web.Request) -> web.StreamResponse:
        model = _model(request)
        shown = self._fleet.status(model.text, list(self._control.stages(model)))
        return web.Response(body=msgspec.json.encode(shown), content_type="application/json")

    async def nodes(self, request: web.Request) -> web.StreamResponse:
        return _json(NodesBody(self._fleet.nodes()))

    async def report(self, request: web.Request) -> web.StreamResponse:
        node = NodeId.parse(request.match_info["node"])
        report = documents.decode(NodeReport, await request.read(), "the report")
        if report.node != node.text:
            raise InvalidInput(f"the report is of {report.node!r:.80}, not of {node}")
        return _json(self._fleet.take(node, report))

    async def log(self, request: web.Request) -> web.StreamResponse:
        after = _whole_number(request, "after", 0, limits.INTEGER_MAX, 0)
        follow = _whole_number(request, "follow", 0, 1, 1) == 1
        return await stream_log(
            request, self._control.ledger, self._watch, after=after, follow=follow
        )

    async def _change(self, work: Callable[[], T]) -> T:
        """Run a write in a thread to its end, even if its client goes, and wake the readers."""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        task.add_done_callback(lambda _: self._watch.notify())
        return await asyncio.shield(task)

    def _stale(self, error: Stale, model: ModelName, stage: StageName) -> web.Response:
        """412 with the stage as it is now, so that the caller can decide again at once."""
        now = self._control.find_stage(model, stage)
        return problem_response(error, stage=msgspec.to_builtins(now) if now else None)

    def _object(self, key: str, bytes_max: int, sha256: bytes) -> bytes:
        data = self._origin.get(key, bytes_max=bytes_max)
        if hashlib.sha256(data).digest() != sha256:
            raise IntegrityError(f"what the origin holds under {key} is not what was pushed")
        return data


def _json(body: msgspec.Struct, *, status: int = 200, **headers: str) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def _model(request: web.Request) -> ModelName:
    return ModelName.parse(request.match_info["model"])


def _stage(request: web.Request) -> StageName:
    return StageName.parse(request.match_info["stage"])


def _newest(request: web.Request) -> int:
    return _whole_number(request, "newest", 1, limits.PAGE_SIZE_MAX, 100)


def _whole_number(request: web.Request, name: str, low: int, high: int, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high):
        raise InvalidInput(f"query {name}={text!r:.40} is not a whole number of {low} to {high}")
    return int(text)
