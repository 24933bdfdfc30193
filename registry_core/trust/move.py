"""Signed moves: promoter and approvers over the same statement, judged by the policy."""

from __future__ import annotations

from registry_core.domain.move import Move
from registry_core.domain.policy import Policy
from registry_core.errors import Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def sign_move(move: Move, *keys: SigningKey) -> Envelope:
    return dsse.sign(PAYLOAD_TYPE, move.statement(), *keys)


def verify_move(envelope: Envelope, policy: Policy) -> Move:
    """The move, if it is of this registry and policy and enough of the right keys signed it."""
    move = Move.parse(envelope.payload)
    if move.registry != policy.registry:
        raise Unauthorized(f"the move is of registry {move.registry:.40}, not {policy.registry}")
    if move.policy != policy.digest:
        raise Unauthorized(
            f"the move was signed under policy {move.policy}, and {policy.digest} is in force: "
            "look at the new policy and sign again"
        )
    rule = policy.rule_for(move.model, move.stage)
    what = f"the move of {move.model}@{move.stage} to version {move.version.number}"
    dsse.require(envelope, PAYLOAD_TYPE, policy.keys_of(rule.role), rule.threshold, what)
    return move
