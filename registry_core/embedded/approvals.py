"""Approvals over the ledger in this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from registry_core.changes import approvals, policies
from registry_core.changes.approvals import Approval
from registry_core.domain.identifiers import Digest, ModelName, StageName
from registry_core.domain.policy import Policy
from registry_core.ledger import queries
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import ProposalRecord
from registry_core.trust.dsse import Envelope
from registry_core.trust.move import count_signatures


class EmbeddedApprovals:
    """See `registry_core.control.approvals`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def propose(self, envelope: Envelope, change: Change, *, split: int = 0) -> Approval:
        return self._ledger.commit(
            lambda commit: approvals.propose(commit, envelope, change, split)
        )

    def approve(
        self, model: ModelName, stage: StageName, proposal: str, added: Envelope, change: Change
    ) -> Approval:
        return self._ledger.commit(
            lambda commit: approvals.approve(commit, model, stage, proposal, added, change)
        )

    def reject(
        self, model: ModelName, stage: StageName, proposal: str, change: Change
    ) -> ProposalRecord:
        return self._ledger.commit(
            lambda commit: approvals.reject(commit, model, stage, proposal, change)
        )

    def open_proposals(self, waiting_for: Collection[str] = ()) -> Sequence[ProposalRecord]:
        with self._ledger.read() as txn:
            policy = queries.policy(txn)
            return [
                one
                for one in queries.proposals(txn)
                if not waiting_for or _would_help(one, policy, set(waiting_for))
            ]

    def set_policy(self, envelope: Envelope, expect: Digest, change: Change) -> Policy:
        return self._ledger.commit(
            lambda commit: policies.set_policy(commit, envelope, expect, change)
        )


def _would_help(proposal: ProposalRecord, policy: Policy, keys: set[str]) -> bool:
    """Whether a signature by one of `keys` is still missing."""
    count = count_signatures(Envelope.parse(proposal.envelope.encode()), policy)
    author = proposal.signers[0].keys[0]
    missing: set[str] = set()
    if len(count.promoters) < count.rule.threshold:
        missing |= policy.keys_of(count.rule.role).keys() - count.promoters
    if len(count.approvers) < count.rule.approvals:
        missing |= policy.keys_of(count.rule.approver).keys() - count.approvers - {author}
    return bool(keys & missing)
