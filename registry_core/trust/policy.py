"""Signed policies: the owners, by the root of trust."""

from __future__ import annotations

from registry_core.domain.policy import (
    ANY,
    PROMOTER,
    PUBLISHER,
    STAGER,
    Policy,
    Root,
    StageRule,
)
from registry_core.errors import InvalidInput, Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey, is_ed25519, load_public

PAYLOAD_TYPE = "application/vnd.cachd.policy+json"


def sign_policy(policy: Policy, *owners: SigningKey) -> Envelope:
    return dsse.sign(PAYLOAD_TYPE, policy.encoded, *owners)


def verify_policy(envelope: Envelope, root: Root) -> Policy:
    """The policy, if it is of this registry and enough owners signed it."""
    dsse.require(envelope, PAYLOAD_TYPE, root.owners, root.threshold, "the policy")
    policy = Policy.parse(envelope.payload)
    if policy.registry != root.registry:
        raise Unauthorized(f"the policy is of registry {policy.registry:.40}, not {root.registry}")
    for pem in policy.keys.values():
        load_public(pem)  # a key that cannot verify would lock its owner out when it is needed
    return policy


def make_root(registry: str, owner: SigningKey, authority: SigningKey) -> Root:
    """One owner, and the Ed25519 key that signs checkpoints."""
    if not is_ed25519(authority.public_pem):
        raise InvalidInput("the authority's key is not Ed25519, which checkpoints are signed with")
    return Root(registry, {owner.key_id: owner.public_pem}, 1, authority.public_pem)


def default_policy(
    registry: str, publisher: SigningKey, promoter: SigningKey, stager: SigningKey
) -> Policy:
    """One key a role; `staging` moves without a person, every other stage with a promoter."""
    keys = {PUBLISHER: publisher, PROMOTER: promoter, STAGER: stager}
    return Policy(
        registry=registry,
        keys={key.key_id: key.public_pem for key in keys.values()},
        roles={role: (key.key_id,) for role, key in keys.items()},
        rules=(
            StageRule(ANY, "staging", STAGER, threshold=1, protected=False),
            StageRule(ANY, ANY, PROMOTER, threshold=1, protected=True),
        ),
    )
