"""Signed moves: promoter and approvers over the same statement, judged by the policy."""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.domain.move import Move
from registry_core.domain.policy import Policy, StageRule
from registry_core.errors import InvalidInput, Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def sign_move(move: Move, *keys: SigningKey) -> Envelope:
    return dsse.sign(PAYLOAD_TYPE, move.statement(), *keys)


@dataclass(frozen=True, slots=True)
class Count:
    """Whose valid signatures a move carries, and what its rule asks for."""

    move: Move
    rule: StageRule
    promoters: frozenset[str]
    approvers: frozenset[str]

    @property
    def lacking(self) -> str:
        """What is still needed, for people; empty when nothing is."""
        needs = []
        if len(self.promoters) < self.rule.threshold:
            needs.append(
                f"{self.rule.threshold} signature(s) by the role {self.rule.role} and has "
                f"{len(self.promoters)}"
            )
        if len(self.approvers) < self.rule.approvals:
            needs.append(
                f"{self.rule.approvals} approval(s) by the role {self.rule.approver}, not counting "
                f"its author, and has {len(self.approvers)}"
            )
        return ", and ".join(needs)


def count_signatures(envelope: Envelope, policy: Policy) -> Count:
    """The move, if it is of this registry and policy, and who signed it. A wrong signature under a
    known key is refused. The author is whoever signed first."""
    move = Move.parse(envelope.payload)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise InvalidInput(f"a move is of type {PAYLOAD_TYPE}, not {envelope.payload_type!r:.80}")
    if move.registry != policy.registry:
        raise Unauthorized(f"the move is of registry {move.registry:.40}, not {policy.registry}")
    if move.policy != policy.digest:
        raise Unauthorized(
            f"the move was signed under policy {move.policy}, and {policy.digest} is in force: "
            "look at the new policy and sign again"
        )
    rule = policy.rule_for(move.model, move.stage)
    promoters = policy.keys_of(rule.role)
    approvers = policy.keys_of(rule.approver) if rule.approvals else {}
    found = dsse.signers(envelope, promoters | approvers)
    author = {one.keyid for one in envelope.signatures[:1]}
    return Count(
        move,
        rule,
        frozenset(found & promoters.keys()),
        frozenset((found & approvers.keys()) - author),
    )


def verify_move(envelope: Envelope, policy: Policy) -> Move:
    """The move, if it is of this registry and policy and enough of the right keys signed it."""
    count = count_signatures(envelope, policy)
    if count.lacking:
        move = count.move
        raise Unauthorized(
            f"the move of {move.model}@{move.stage} to version {move.version.number} needs "
            f"{count.lacking}: have it signed with more of the keys that the policy names for it "
            "(`cachctl propose`, then `cachctl approve`)"
        )
    return count.move
