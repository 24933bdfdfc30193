"""Approvals over HTTP: see `registry_core.control.approvals`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cachd.control import documents
from cachd.control.calls import Calls
from cachd.control.documents import ChangeBody
from registry_core.changes.approvals import Approval
from registry_core.domain.identifiers import Digest, ModelName, StageName
from registry_core.domain.move import Move
from registry_core.domain.policy import Policy
from registry_core.ledger.change import Change
from registry_core.ledger.records import ProposalRecord
from registry_core.trust.dsse import Envelope


class RemoteApprovals:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def propose(self, envelope: Envelope, change: Change, *, split: int = 0) -> Approval:
        move = Move.parse(envelope.payload)
        body = documents.MoveBody(envelope.to_json(), ChangeBody.of(change), split)
        path = f"{_stage(move.model, move.stage)}/proposals"
        return self._answer(self._calls.change("POST", documents.ApprovalBody, path, body, change))

    def approve(
        self, model: ModelName, stage: StageName, proposal: str, added: Envelope, change: Change
    ) -> Approval:
        body = documents.EnvelopeBody(added.to_json(), ChangeBody.of(change))
        path = f"{_stage(model, stage)}/proposals/{proposal}/approvals"
        return self._answer(self._calls.change("POST", documents.ApprovalBody, path, body, change))

    def reject(
        self, model: ModelName, stage: StageName, proposal: str, change: Change
    ) -> ProposalRecord:
        body = documents.ChoiceBody(ChangeBody.of(change))
        path = f"{_stage(model, stage)}/proposals/{proposal}/rejection"
        return self._calls.change("POST", ProposalRecord, path, body, change)

    def open_proposals(self, waiting_for: Collection[str] = ()) -> Sequence[ProposalRecord]:
        path = f"/v1/proposals?waiting_for={','.join(sorted(waiting_for))}"
        return self._calls.get(documents.ProposalsBody, path).proposals

    def set_policy(self, envelope: Envelope, expect: Digest, change: Change) -> Policy:
        body = documents.PolicyBody(envelope.to_json(), str(expect), ChangeBody.of(change))
        answer = self._calls.change("PUT", documents.PolicyAnswer, "/v1/policy", body, change)
        return Policy.parse(answer.policy.encode())

    def _answer(self, body: documents.ApprovalBody) -> Approval:
        return Approval(body.proposal, body.lacking, body.stage)


def _stage(model: ModelName, stage: StageName) -> str:
    return f"/v1/models/{model}/stages/{stage}"
