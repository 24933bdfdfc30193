"""Proposals, approvals, rejections, and the policy that asks for them."""

from __future__ import annotations

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of, model_of, stage_of
from cachd.api.writes import Writes
from cachd.control import documents
from registry_core.changes.approvals import Approval
from registry_core.domain.identifiers import Digest
from registry_core.domain.move import Move
from registry_core.embedded.control import EmbeddedControl
from registry_core.errors import InvalidInput
from registry_core.ledger.records import ProposalRecord
from registry_core.trust.dsse import Envelope

_PROPOSALS = "/v1/models/{model}/stages/{stage}/proposals"
_ONE = _PROPOSALS + "/{proposal}"
_WAITING = (("waiting_for", "key ids, with commas: only what a signature by one of them helps"),)


class ApprovalsApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._control = control
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/proposals", self.proposals,
                      "Moves that are proposed and lack signatures", documents.ProposalsBody,
                      query=_WAITING),
            Operation("POST", _PROPOSALS, self.propose,
                      "Propose a move, signed by its author", documents.ApprovalBody,
                      documents.MoveBody),
            Operation("POST", f"{_ONE}/approvals", self.approve,
                      "Add a signature over the same statement; the last one needed moves the "
                      "stage", documents.ApprovalBody, documents.EnvelopeBody),
            Operation("POST", f"{_ONE}/rejection", self.reject,
                      "Close a proposal; the change's reason says why", ProposalRecord,
                      documents.ChoiceBody),
            Operation("PUT", "/v1/policy", self.set_policy,
                      "Replace the policy, signed by the owners", documents.PolicyAnswer,
                      documents.PolicyBody),
        ]  # fmt: skip

    async def proposals(self, request: web.Request) -> web.StreamResponse:
        keys = [key for key in request.query.get("waiting_for", "").split(",") if key]
        return answer(documents.ProposalsBody(list(self._control.approvals.open_proposals(keys))))

    async def propose(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.MoveBody)
        envelope = Envelope.from_json(body.envelope)
        move = Move.parse(envelope.payload)
        if (move.model, move.stage) != (model_of(request), stage_of(request)):
            raise InvalidInput(f"the move is of {move.model}@{move.stage}: post it there")
        change = await change_of(request, body.change)
        made = await self._writes.run(
            lambda: self._control.approvals.propose(envelope, change, split=body.split)
        )
        return _approval(made)

    async def approve(self, request: web.Request) -> web.StreamResponse:
        model, stage, proposal = model_of(request), stage_of(request), _proposal_of(request)
        body = await body_of(request, documents.EnvelopeBody)
        added = Envelope.from_json(body.envelope)
        change = await change_of(request, body.change)
        made = await self._writes.run(
            lambda: self._control.approvals.approve(model, stage, proposal, added, change)
        )
        return _approval(made)

    async def reject(self, request: web.Request) -> web.StreamResponse:
        model, stage, proposal = model_of(request), stage_of(request), _proposal_of(request)
        body = await body_of(request, documents.ChoiceBody)
        if not body.change.reason:
            raise InvalidInput("a rejection says why: give change.reason")
        change = await change_of(request, body.change)
        return answer(
            await self._writes.run(
                lambda: self._control.approvals.reject(model, stage, proposal, change)
            )
        )

    async def set_policy(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.PolicyBody)
        envelope, expect = Envelope.from_json(body.envelope), Digest.parse(body.expect)
        change = await change_of(request, body.change)
        made = await self._writes.run(
            lambda: self._control.approvals.set_policy(envelope, expect, change)
        )
        return answer(documents.PolicyAnswer(made.encoded.decode(), str(made.digest)))


def _proposal_of(request: web.Request) -> str:
    return request.match_info["proposal"]


def _approval(made: Approval) -> web.Response:
    return answer(documents.ApprovalBody(made.proposal, made.lacking, made.stage))
