"""DSSE envelopes: the specification's vector, strict parsing, distinct signers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.domain import limits
from registry_core.errors import InvalidInput, RegistryError, Unauthorized
from registry_core.trust import dsse
from registry_core.trust.dsse import Envelope, Signature, pae
from registry_core.trust.keys import public_pem, verify_signature
from tests.trust.documents import OWNER, PROMOTER, STAGER, STRANGER, pems

KIND = "application/x-test"


def _document() -> dict[str, Any]:
    return dsse.sign(KIND, b"payload", OWNER).to_json()


def test_pae_is_the_specifications() -> None:
    """protocol.md, "Test Vectors"; its signature, made by another implementation, verifies."""
    signed = pae("http://example.com/HelloWorld", b"hello world")
    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    x = 46950820868899156662930047687818585632848591499744589407958293238635476079160
    y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
    pem = public_pem(ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
    raw = base64.b64decode(
        "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
    )
    der = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    assert verify_signature(pem, signed, der)


def test_pae_counts_bytes_not_characters() -> None:
    assert pae("ü", "重".encode()) == b"DSSEv1 2 \xc3\xbc 3 \xe9\x87\x8d"
    assert pae("", b"") == b"DSSEv1 0  0 "


def test_an_envelope_comes_back_from_its_bytes() -> None:
    envelope = dsse.sign(KIND, b"\x00\xff", OWNER, STAGER)
    assert Envelope.parse(envelope.encode()) == envelope
    assert Envelope.from_json(json.loads(envelope.encode())) == envelope


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"payload": "cGF5bG9hZA"},
        {"payload": "cGF5bG9hZB=="},
        {"payload": "cGF5 bG9hZA=="},
        {"payload": "-_8="},
        {"payload": "ü"},
        {"payload": 7},
        {"payloadType": None},
        {"payloadType": "\ud800"},
        {"signatures": {}},
        {"signatures": [1]},
        {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"keyid": 1, "sig": ""}]},
        {"signatures": [{"keyid": "\udfff", "sig": ""}]},
        {"signatures": [{"keyid": "a", "sig": "A"}]},
        {"signatures": [{"keyid": "a", "sig": "", "more": ""}]},
        {"signatures": [{"keyid": "a", "sig": ""}] * (limits.SIGNATURES_MAX + 1)},
        {"signatures": [{"keyid": "a" * (limits.ENVELOPE_MAX + 1), "sig": ""}]},
        {"signatures": [{"keyid": "a" * (limits.ENVELOPE_MAX // 2), "sig": ""}] * 3},
        {"payload": base64.b64encode(bytes(limits.ENVELOPE_MAX)).decode()},
        {"payload": base64.b64encode(bytes(limits.ENVELOPE_MAX * 3 // 4)).decode()},
    ],
)
def test_what_is_not_well_formed_is_refused(change: dict[str, Any]) -> None:
    Envelope.from_json(_document())
    with pytest.raises(InvalidInput):
        Envelope.from_json(_document() | change)


@pytest.mark.parametrize("missing", ["payload", "payloadType", "signatures"])
def test_what_is_incomplete_is_refused(missing: str) -> None:
    document = _document()
    del document[missing]
    with pytest.raises(InvalidInput):
        Envelope.from_json(document)


def test_other_spellings_of_the_same_bytes_are_refused() -> None:
    data = dsse.sign(KIND, b"payload", OWNER).encode()
    twice = data.replace(b'{"payload":', b'{"payload":"","payload":', 1)
    for wrong in (b" " + data, data + b"\n", data.replace(b":", b": ", 1), twice):
        with pytest.raises(InvalidInput):
            Envelope.parse(wrong)


def test_signers_are_the_distinct_known_keys() -> None:
    envelope = dsse.sign(KIND, b"p", PROMOTER, OWNER, OWNER, STRANGER)
    known = pems(OWNER, PROMOTER, STAGER)
    assert dsse.signers(envelope, known) == {OWNER.key_id, PROMOTER.key_id}
    assert dsse.require(envelope, KIND, known, 2, "it") == {OWNER.key_id, PROMOTER.key_id}


def test_the_same_key_twice_counts_once() -> None:
    envelope = dsse.sign(KIND, b"p", OWNER).with_signature(OWNER)
    assert len(envelope.signatures) == 2
    assert envelope.signatures[0].sig != envelope.signatures[1].sig
    with pytest.raises(Unauthorized, match=r"needs 2 .* has 1"):
        dsse.require(envelope, KIND, pems(OWNER, PROMOTER), 2, "the thing")


def test_too_few_signers_are_told_how_many_are_missing() -> None:
    for envelope, found in (
        (dsse.sign(KIND, b"p"), 0),
        (dsse.sign(KIND, b"p", STRANGER), 0),
        (dsse.sign(KIND, b"p", STRANGER, OWNER), 1),
    ):
        with pytest.raises(Unauthorized, match=rf"the thing needs 2 .* has {found}"):
            dsse.require(envelope, KIND, pems(OWNER, PROMOTER), 2, "the thing")


def test_nothing_is_enough_by_nobody() -> None:
    for threshold in (0, -1):
        with pytest.raises(Unauthorized):
            dsse.require(dsse.sign(KIND, b"p"), KIND, pems(OWNER), threshold, "it")


def test_a_wrong_signature_under_a_known_key_is_refused_beside_valid_ones() -> None:
    good = dsse.sign(KIND, b"p", OWNER)
    forged = Signature(PROMOTER.key_id, OWNER.sign(pae(KIND, b"p")))
    envelope = Envelope(KIND, b"p", (*good.signatures, forged))
    assert dsse.signers(envelope, pems(OWNER)) == {OWNER.key_id}
    with pytest.raises(Unauthorized, match="not valid"):
        dsse.signers(envelope, pems(OWNER, PROMOTER))


def test_a_signature_counts_for_its_type_and_payload_only() -> None:
    made = dsse.sign(KIND, b"p", OWNER)
    for kind, payload in ((KIND, b"q"), ("application/y-test", b"p"), (KIND + " 1", b"p")):
        with pytest.raises(Unauthorized):
            dsse.require(Envelope(kind, payload, made.signatures), kind, pems(OWNER), 1, "it")
    with pytest.raises(InvalidInput, match="of type"):
        dsse.require(made, "application/y-test", pems(OWNER), 1, "it")


@settings(derandomize=True, max_examples=300)
@given(st.text(st.characters(max_codepoint=127)), st.binary(), st.binary(max_size=80))
def test_any_envelope_round_trips(kind: str, payload: bytes, sig: bytes) -> None:
    envelope = Envelope(kind, payload, (Signature("k", sig),))
    assert Envelope.parse(envelope.encode()) == envelope


_SAMPLE = dsse.sign(KIND, b"payload", OWNER).encode()


@settings(derandomize=True, max_examples=500)
@given(
    st.integers(0, len(_SAMPLE)), st.integers(0, 20), st.binary(max_size=20) | st.just(b'{"a":1}')
)
def test_damaged_bytes_are_refused_with_an_error_of_ours(at: int, cut: int, put: bytes) -> None:
    damaged = _SAMPLE[:at] + put + _SAMPLE[at + cut :]
    try:
        envelope = Envelope.parse(damaged)
    except RegistryError:
        return
    assert envelope.encode() == damaged
