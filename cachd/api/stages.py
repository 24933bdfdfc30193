"""Stages: what they are, and moves and choices, one by one or several at once."""

from __future__ import annotations

import msgspec
from aiohttp import web

from cachd.api import guards
from cachd.api.answers import answer
from cachd.api.middleware import problem_response
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of, model_of, stage_of
from cachd.api.writes import Writes
from cachd.control import documents
from registry_core.changes.stages import ChoiceStep, MoveStep, StageStep
from registry_core.domain.identifiers import Guard, ModelName, StageName, StageRef, VersionRef
from registry_core.domain.move import Move
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput, NotFound, Stale
from registry_core.ledger.change import Change
from registry_core.ledger.records import StageRecord
from registry_core.trust.dsse import Envelope

STAGE = "/v1/models/{model}/stages/{stage}"


class StagesApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._control = control
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/models/{model}/stages", self.stages,
                      "The stages of a model", documents.StagesBody),
            Operation("GET", STAGE, self.stage,
                      "One stage; its ETag is the guard for changing it", StageRecord),
            Operation("POST", f"{STAGE}/move", self.move,
                      "Commit a signed move", StageRecord, documents.MoveBody, guarded=True),
            Operation("POST", f"{STAGE}/choice", self.choice,
                      "Toggle the version in force between the two of the current move",
                      StageRecord, documents.ChoiceBody, guarded=True),
            Operation("POST", f"{STAGE}/split", self.split,
                      "Split the requests between the two versions of the current move",
                      StageRecord, documents.SplitBody, guarded=True),
            Operation("POST", "/v1/stages", self.change_stages,
                      "Change several stages of any models, all or none",
                      documents.StagesBody, documents.StepsBody),
            Operation("GET", "/v1/resolve", self.resolve,
                      "What a version reference means now", documents.ResolvedBody,
                      query=(("ref", "NAME@STAGE, NAME/NUMBER or NAME@sha256:…"),)),
        ]  # fmt: skip

    async def stages(self, request: web.Request) -> web.StreamResponse:
        return answer(documents.StagesBody(list(self._control.stages(model_of(request)))))

    async def stage(self, request: web.Request) -> web.StreamResponse:
        model, stage = model_of(request), stage_of(request)
        found = self._control.find_stage(model, stage)
        if found is None:
            raise NotFound(f"nothing was promoted to {model}@{stage} yet")
        return answer(found, ETag=guards.etag(found))

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        found = self._control.resolve(VersionRef.parse(request.query.get("ref", "")))
        return answer(documents.ResolvedBody(found.version, found.stage))

    async def move(self, request: web.Request) -> web.StreamResponse:
        model, stage = model_of(request), stage_of(request)
        guard = guards.find_guard(request)
        body = await body_of(request, documents.MoveBody)
        step = self._move_step(body.envelope, guard, body.split)
        if (step.model, step.stage) != (model, stage):
            raise InvalidInput(f"the move is of {step.model}@{step.stage}, not {model}@{stage}")
        return await self._one(step, await change_of(request, body.change))

    async def choice(self, request: web.Request) -> web.StreamResponse:
        step = ChoiceStep(model_of(request), stage_of(request), guards.find_guard(request))
        body = await body_of(request, documents.ChoiceBody)
        return await self._one(step, await change_of(request, body.change))

    async def split(self, request: web.Request) -> web.StreamResponse:
        model, stage, guard = model_of(request), stage_of(request), guards.find_guard(request)
        body = await body_of(request, documents.SplitBody)
        step = ChoiceStep(model, stage, guard, body.split)
        return await self._one(step, await change_of(request, body.change))

    async def change_stages(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.StepsBody)
        steps = [self._step(one) for one in body.steps]
        change = await change_of(request, body.change)
        try:
            made = await self._writes.run(lambda: self._control.change_stages(steps, change))
        except Stale as error:
            return self._stale(error, *((step.model, step.stage) for step in steps))
        return answer(documents.StagesBody(made))

    async def _one(self, step: StageStep, change: Change) -> web.StreamResponse:
        try:
            made = await self._writes.run(lambda: self._control.change_stages([step], change))
        except Stale as error:
            return self._stale(error, (step.model, step.stage))
        return answer(made[0], ETag=guards.etag(made[0]))

    def _step(self, body: documents.StepBody) -> StageStep:
        guard = Guard.parse(body.expect) if body.expect else None
        if (body.envelope is None) == (body.choice is None):
            raise InvalidInput("a step has either `envelope` (a move) or `choice` (NAME@STAGE)")
        if body.envelope is not None:
            return self._move_step(body.envelope, guard, body.split or 0)
        ref = StageRef.parse(body.choice or "")
        return ChoiceStep(ref.model, ref.stage, guard, body.split)

    def _move_step(self, document: dict[str, object], guard: Guard | None, split: int) -> MoveStep:
        """Without signatures the authority signs, where the policy lets it."""
        envelope = Envelope.from_json(document)
        move = Move.parse(envelope.payload)
        signed = envelope if envelope.signatures else self._control.sign(move)
        return MoveStep(move, signed, guard, split)

    def _stale(self, error: Stale, *changed: tuple[ModelName, StageName]) -> web.Response:
        """412 with the stages as they are now, so that the caller can decide again at once."""
        now = [self._control.find_stage(model, stage) for model, stage in changed]
        shown = [msgspec.to_builtins(stage) if stage else None for stage in now]
        return problem_response(error, stage=shown[0], stages=shown)
