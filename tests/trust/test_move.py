"""Signed moves: whose keys, how many of them, of which registry and policy."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest

from registry_core.domain.policy import Policy, StageRule
from registry_core.errors import InvalidInput, RegistryError, Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import SigningKey
from registry_core.trust.move import PAYLOAD_TYPE, sign_move, verify_move
from registry_core.trust.oms import sign_version
from tests.trust.documents import (
    OWNER,
    PROMOTER,
    PUBLISHER,
    REGISTRY,
    STAGER,
    STRANGER,
    flips,
    move,
    p256,
    pems,
    policy,
    small_version,
)


def _two_approvers(*approvers: SigningKey) -> Policy:
    return Policy(
        REGISTRY,
        pems(*approvers),
        {"approver": tuple(key.key_id for key in approvers)},
        (StageRule("*", "*", "approver", threshold=2, protected=True),),
    )


def test_the_right_key_moves_its_stage() -> None:
    rules = policy()
    production, staging = move(rules), move(rules, "staging")
    assert verify_move(sign_move(production, PROMOTER), rules) == production
    assert verify_move(sign_move(staging, STAGER), rules) == staging


@pytest.mark.parametrize("key", [STAGER, PUBLISHER, OWNER, STRANGER])
def test_a_key_of_another_role_moves_nothing(key: SigningKey) -> None:
    with pytest.raises(Unauthorized, match=r"m@production to version 2 needs 1 .* has 0"):
        verify_move(sign_move(move(policy()), key), policy())


def test_the_promoter_does_not_move_staging() -> None:
    with pytest.raises(Unauthorized):
        verify_move(sign_move(move(policy(), "staging"), PROMOTER), policy())


def test_two_approvals_are_two_keys() -> None:
    anna, bob = p256(301), p256(302)
    rules = _two_approvers(anna, bob)
    first = sign_move(move(rules), anna)
    for envelope in (first, first.with_signature(anna), first.with_signature(STRANGER)):
        with pytest.raises(Unauthorized, match=r"needs 2 .* has 1"):
            verify_move(envelope, rules)
    assert verify_move(first.with_signature(bob), rules) == move(rules)


def test_an_approval_of_one_move_is_none_of_another() -> None:
    anna, bob = p256(301), p256(302)
    rules = _two_approvers(anna, bob)
    ours = sign_move(move(rules), anna)
    other = sign_move(move(rules, generation=6), bob)
    mixed = Envelope(PAYLOAD_TYPE, ours.payload, (*ours.signatures, *other.signatures))
    with pytest.raises(Unauthorized, match="not valid"):
        verify_move(mixed, rules)


def test_a_move_of_another_registry_or_policy_is_refused() -> None:
    foreign = dataclasses.replace(move(policy()), registry="f" * 32)
    with pytest.raises(Unauthorized, match="registry"):
        verify_move(sign_move(foreign, PROMOTER), policy())
    older = dataclasses.replace(policy(), rules=policy().rules[1:])
    with pytest.raises(Unauthorized, match="sign again"):
        verify_move(sign_move(move(older), PROMOTER), policy())


def test_only_a_move_is_a_move() -> None:
    """Not the statement of an OMS bundle, nor a move under another type or spelling."""
    statement = move(policy()).statement()
    bundle = json.loads(sign_version(small_version(), "m", PROMOTER))
    version = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    for kind, payload in (
        ("application/vnd.cachd.policy+json", statement),
        (PAYLOAD_TYPE, statement + b"\n"),
        (PAYLOAD_TYPE, version),
        (PAYLOAD_TYPE, policy().encoded),
        (PAYLOAD_TYPE, b"[]"),
        (PAYLOAD_TYPE, b""),
    ):
        with pytest.raises(InvalidInput):
            verify_move(dsse.sign(kind, payload, PROMOTER), policy())


def test_every_flipped_bit_of_a_signed_move_is_refused() -> None:
    rules, encoded = policy(), sign_move(move(policy()), PROMOTER).encode()
    verify_move(Envelope.parse(encoded), rules)
    accepted = []
    for bit, wrong in flips(encoded):
        try:
            verify_move(Envelope.parse(wrong), rules)
        except RegistryError:
            continue
        accepted.append(bit)
    assert accepted == []
