"""Moves that need several people, and the policy that says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from registry_core.changes.approvals import Approval
from registry_core.domain.identifiers import Digest, ModelName, StageName
from registry_core.domain.policy import Policy
from registry_core.ledger.change import Change
from registry_core.ledger.records import ProposalRecord
from registry_core.trust.dsse import Envelope


class ApprovalControl(Protocol):
    def propose(self, envelope: Envelope, change: Change, *, split: int = 0) -> Approval:
        """Open a proposal: a move, signed by its author, that comes with `split` (per mille)."""
        ...

    def approve(
        self, model: ModelName, stage: StageName, proposal: str, added: Envelope, change: Change
    ) -> Approval:
        """Add a signature over the same statement; the last one needed moves the stage."""
        ...

    def reject(
        self, model: ModelName, stage: StageName, proposal: str, change: Change
    ) -> ProposalRecord: ...

    def open_proposals(self, waiting_for: Collection[str] = ()) -> Sequence[ProposalRecord]:
        """All, or those that a signature by any of these keys would bring further."""
        ...

    def set_policy(self, envelope: Envelope, expect: Digest, change: Change) -> Policy:
        """Replace the policy whose digest is `expect`."""
        ...
