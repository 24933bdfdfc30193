"""Signed policies: the owners of the root, and nobody else."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.policy import Policy, Root
from registry_core.errors import InvalidInput, Unauthorized
from registry_core.trust import dsse
from registry_core.trust.policy import (
    PAYLOAD_TYPE,
    default_policy,
    make_root,
    sign_policy,
    verify_policy,
)
from tests.trust.documents import (
    AUTHORITY,
    OWNER,
    PROMOTER,
    REGISTRY,
    STRANGER,
    p256,
    pems,
    policy,
    root,
)


def test_a_policy_that_the_owner_signed_comes_back() -> None:
    assert verify_policy(sign_policy(policy(), OWNER), root()) == policy()
    assert Root.parse(root().encoded) == root()


def test_nobody_else_signs_policies() -> None:
    for keys in ((), (STRANGER,), (PROMOTER,)):
        with pytest.raises(Unauthorized, match=r"the policy needs 1 .* has 0"):
            verify_policy(sign_policy(policy(), *keys), root())


def test_owners_sign_with_a_threshold() -> None:
    second = p256(401)
    both = Root(REGISTRY, pems(OWNER, second), 2, AUTHORITY.public_pem)
    once = sign_policy(policy(), OWNER)
    for envelope in (once, once.with_signature(OWNER)):
        with pytest.raises(Unauthorized, match=r"needs 2 .* has 1"):
            verify_policy(envelope, both)
    assert verify_policy(once.with_signature(second), both) == policy()


def test_a_policy_is_of_its_registry_and_type() -> None:
    foreign = dataclasses.replace(policy(), registry="f" * 32)
    with pytest.raises(Unauthorized, match="registry"):
        verify_policy(sign_policy(foreign, OWNER), root())
    with pytest.raises(InvalidInput, match="of type"):
        verify_policy(dsse.sign("application/json", policy().encoded, OWNER), root())
    with pytest.raises(InvalidInput):
        verify_policy(dsse.sign(PAYLOAD_TYPE, policy().encoded + b" ", OWNER), root())


def test_a_policy_with_a_key_that_cannot_verify_is_refused() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    bad = {**policy().keys, hashlib.sha256(pem.encode()).hexdigest(): pem}
    wrong = dataclasses.replace(policy(), keys=bad)
    assert Policy.parse(wrong.encoded) == wrong
    with pytest.raises(InvalidInput, match="public key"):
        verify_policy(sign_policy(wrong, OWNER), root())


def test_by_default_staging_moves_by_the_stager_and_the_rest_is_protected() -> None:
    any_model = ModelName.parse("m")
    staging = policy().rule_for(any_model, StageName.parse("staging"))
    production = policy().rule_for(any_model, StageName.parse("production"))
    assert (staging.role, staging.threshold, staging.protected) == ("stager", 1, False)
    assert (production.role, production.threshold, production.protected) == ("promoter", 1, True)


def test_one_key_may_have_every_role() -> None:
    single = default_policy(REGISTRY, OWNER, OWNER, OWNER)
    assert Policy.parse(single.encoded) == single
    assert set(single.keys) == {OWNER.key_id}


def test_the_authority_of_a_root_is_ed25519() -> None:
    with pytest.raises(InvalidInput, match="Ed25519"):
        make_root(REGISTRY, OWNER, STRANGER)
