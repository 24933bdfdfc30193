"""Signed versions: what the signer signed is the manifest, whole, and in one form.

Every case is signed again by the publisher's own key, so that it is the form that is refused.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.domain import canonical, limits
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError, InvalidInput, RegistryError, Unauthorized
from registry_core.trust.dsse import pae
from registry_core.trust.keys import SigningKey
from registry_core.trust.oms import sign_version, verify_version
from tests.trust.documents import (
    AUTHORITY,
    PUBLISHER,
    STRANGER,
    flips,
    pems,
    small_version,
    version_of,
)

MANIFEST = small_version()
KNOWN = pems(PUBLISHER)
KIND = "application/vnd.in-toto+json"

# FORMATS.md, "Signed version", for `small_version`. The digests are those of `sha256sum`, the
# subject's is over their 64 raw bytes, chunk roots are RFC 6962 over one and two chunks.
GOLDEN_STATEMENT = (
    '{"_type":"https://in-toto.io/Statement/v1",'
    '"predicate":{"resources":['
    '{"algorithm":"sha256","annotations":{"chunk_root":'
    '"6a4372841c4bd10d5ccf0e5a9fbe28219e2f43417467ee0cba51fc5e7d75b27d","size":2},'
    '"digest":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",'
    '"name":"config.json"},'
    '{"algorithm":"sha256","annotations":{"chunk_root":'
    '"2cbd6eff40b1d51e962e35d52cfde953c69fd1b63acc6e5e9c166348fbe82b86","size":100},'
    '"digest":"bce0aff19cf5aa6a7469a30d61d04e4376e4bbf6381052ee9e7f33925c954d52","name":"weights/a.bin"}],'
    '"serialization":{"allow_symlinks":false,"hash_type":"sha256","ignore_paths":[],'
    '"method":"files"}},'
    '"predicateType":"https://model_signing/signature/v1.0",'
    '"subject":[{"digest":{"sha256":'
    '"1a3df2257fe7e5bc72f58e9477ba65729336ae9eed282d2c98b2cf4e99660e89"},"name":"m"}]}'
)


def _bundle() -> bytes:
    return sign_version(MANIFEST, "m", PUBLISHER)


def _statement(bundle: bytes) -> bytes:
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


def _signed(statement: bytes, key: SigningKey = PUBLISHER) -> bytes:
    """A bundle in the right form over any statement."""
    document = json.loads(_bundle())
    signature = key.sign(pae(KIND, statement))
    document["verificationMaterial"]["publicKey"]["hint"] = key.key_id
    document["dsseEnvelope"]["payload"] = base64.b64encode(statement).decode()
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return canonical.encode(document)


def test_what_is_signed_is_these_bytes() -> None:
    assert _statement(_bundle()).decode() == GOLDEN_STATEMENT


def test_a_bundle_is_this_document() -> None:
    bundle = _bundle()
    document = json.loads(bundle)
    assert canonical.encode(document) == bundle
    signature = document["dsseEnvelope"].pop("signatures")
    assert [one.keys() for one in signature] == [{"keyid", "sig"}]
    assert document == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": PUBLISHER.key_id}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(GOLDEN_STATEMENT.encode()).decode(),
            "payloadType": KIND,
        },
    }


def test_a_bundle_verifies_and_names_its_signer() -> None:
    assert verify_version(_bundle(), MANIFEST, KNOWN) == PUBLISHER.key_id
    assert verify_version(_signed(GOLDEN_STATEMENT.encode()), MANIFEST, KNOWN) == PUBLISHER.key_id


def test_a_strangers_signature_is_refused() -> None:
    by_stranger = sign_version(MANIFEST, "m", STRANGER)
    with pytest.raises(Unauthorized, match="no publisher"):
        verify_version(by_stranger, MANIFEST, KNOWN)
    claimed = by_stranger.replace(STRANGER.key_id.encode(), PUBLISHER.key_id.encode())
    with pytest.raises(Unauthorized, match="not valid"):
        verify_version(claimed, MANIFEST, KNOWN)
    with pytest.raises(Unauthorized):
        verify_version(_bundle(), MANIFEST, {})


def test_versions_are_signed_with_p256_as_the_specification_knows_no_ed25519() -> None:
    with pytest.raises(InvalidInput, match="P-256"):
        sign_version(MANIFEST, "m", AUTHORITY)
    with pytest.raises(Unauthorized):
        verify_version(_signed(_statement(_bundle()), AUTHORITY), MANIFEST, pems(AUTHORITY))


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": b"{}"},
        {"config.json": b"{}", "weights/a.bin": bytes(range(100)), "x": b""},
        {"config.json": b"{}", "weights/a.bin": bytes(range(99)) + b"!"},
        {"config.json": b"{}", "weights/b.bin": bytes(range(100))},
        {"config.json": bytes(range(100)), "weights/a.bin": b"{}"},
    ],
    ids=["missing", "extra", "changed", "renamed", "swapped"],
)
def test_a_bundle_is_of_one_manifest(files: dict[str, bytes]) -> None:
    with pytest.raises(IntegrityError, match="other files"):
        verify_version(_bundle(), version_of(files), KNOWN)


def test_the_same_files_in_other_chunks_are_refused() -> None:
    """What nodes run is chunks: a manifest that names others for the same digest is not signed."""
    files = {"config.json": b"{}", "weights/a.bin": bytes(range(100))}
    with pytest.raises(IntegrityError) as caught:
        verify_version(_bundle(), version_of(files, chunk_bytes=50), KNOWN)
    assert caught.value.expected != caught.value.actual


Change = Callable[[dict[str, Any]], Any]
Statement = dict[str, Any]


def _resources(statement: Statement) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = statement["predicate"]["resources"]
    return listed


def _serialization(statement: Statement) -> dict[str, Any]:
    settings: dict[str, Any] = statement["predicate"]["serialization"]
    return settings


STATEMENTS: dict[str, Change] = {
    "hidden by ignore_paths": lambda s: _serialization(s)["ignore_paths"].append("evil.py"),
    "ignoring what git keeps": lambda s: _serialization(s)["ignore_paths"].append(".git"),
    "no ignore_paths": lambda s: _serialization(s).pop("ignore_paths"),
    "symlinks allowed": lambda s: _serialization(s).update(allow_symlinks=True),
    "symlinks by a number": lambda s: _serialization(s).update(allow_symlinks=0),
    "shards": lambda s: _serialization(s).update(method="shards", shard_size=1_000_000),
    "another hash": lambda s: _serialization(s).update(hash_type="blake3"),
    "more about serialization": lambda s: _serialization(s).update(chunk_size=1),
    "an extra resource": lambda s: _resources(s).append({**_resources(s)[0], "name": "z"}),
    "a resource twice": lambda s: _resources(s).insert(0, _resources(s)[0]),
    "a missing resource": lambda s: _resources(s).pop(),
    "no resources": lambda s: _resources(s).clear(),
    "unsorted resources": lambda s: _resources(s).reverse(),
    "a dotted name": lambda s: _resources(s)[0].update(name="./config.json"),
    "an absolute name": lambda s: _resources(s)[0].update(name="/config.json"),
    "a name out of the root": lambda s: _resources(s)[0].update(name="../config.json"),
    "a name with other slashes": lambda s: _resources(s)[1].update(name="weights\\a.bin"),
    "an upper-case digest": lambda s: _resources(s)[0].update(
        digest=_resources(s)[0]["digest"].upper()
    ),
    "another algorithm": lambda s: _resources(s)[0].update(algorithm="blake3"),
    "more about a resource": lambda s: _resources(s)[0].update(uri="https://example.com"),
    "no annotations": lambda s: _resources(s)[0].pop("annotations"),
    "another chunk root": lambda s: _resources(s)[0]["annotations"].update(chunk_root="0" * 64),
    "another size": lambda s: _resources(s)[0]["annotations"].update(size=3),
    "a size as text": lambda s: _resources(s)[0]["annotations"].update(size="2"),
    "one more annotation": lambda s: _resources(s)[0]["annotations"].update(note=""),
    "another subject digest": lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "a second digest": lambda s: s["subject"][0]["digest"].update(sha512="0" * 128),
    "a second subject": lambda s: s["subject"].append(s["subject"][0]),
    "no subject": lambda s: s["subject"].clear(),
    "a subject without a name": lambda s: s["subject"][0].pop("name"),
    "a subject named by a number": lambda s: s["subject"][0].update(name=1),
    "more about the subject": lambda s: s["subject"][0].update(uri=""),
    "subject as text": lambda s: s.update(subject="m"),
    "another statement type": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "the type before 1.0": lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
    "no predicate": lambda s: s.pop("predicate"),
    "more in the predicate": lambda s: s["predicate"].update(extra=1),
    "more in the statement": lambda s: s.update(extra=1),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_that_says_anything_else_is_refused(name: str) -> None:
    statement = json.loads(_statement(_bundle()))
    STATEMENTS[name](statement)
    changed = canonical.encode(statement)
    assert changed != _statement(_bundle())
    with pytest.raises((IntegrityError, InvalidInput)):
        verify_version(_signed(changed), MANIFEST, KNOWN)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s + b"\n",
        lambda s: s.replace(b":", b": ", 1),
        lambda s: s.replace(b'"name":"m"', b'"name":"\\u006d"'),
        lambda s: s.replace(b'"size":2}', b'"size":2.0}'),
        lambda s: s.replace(b'"ignore_paths":[]', b'"ignore_paths":["x"],"ignore_paths":[]'),
        lambda s: s.replace(b'"name":"config.json"', b'"name":"evil","name":"config.json"'),
        lambda s: b"\xef\xbb\xbf" + s,
        lambda s: b"[" * 1000,
        lambda s: b"",
        lambda s: b"null",
        lambda s: b"\xff",
    ],
)
def test_a_statement_has_one_spelling(change: Callable[[bytes], bytes]) -> None:
    changed = change(_statement(_bundle()))
    assert changed != _statement(_bundle())
    with pytest.raises((IntegrityError, InvalidInput)):
        verify_version(_signed(changed), MANIFEST, KNOWN)


def _envelope(bundle: dict[str, Any]) -> dict[str, Any]:
    envelope: dict[str, Any] = bundle["dsseEnvelope"]
    return envelope


def _material(bundle: dict[str, Any]) -> dict[str, Any]:
    material: dict[str, Any] = bundle["verificationMaterial"]
    return material


BUNDLES: dict[str, Change] = {
    "another media type": lambda b: b.update(mediaType="application/json"),
    "no media type": lambda b: b.pop("mediaType"),
    "more in the bundle": lambda b: b.update(extra=1),
    "no envelope": lambda b: b.pop("dsseEnvelope"),
    "envelope as a list": lambda b: b.update(dsseEnvelope=[]),
    "another payload type": lambda b: _envelope(b).update(payloadType="application/json"),
    "more in the envelope": lambda b: _envelope(b).update(extra=1),
    "two signatures": lambda b: _envelope(b)["signatures"].append(_envelope(b)["signatures"][0]),
    "no signature": lambda b: _envelope(b)["signatures"].clear(),
    "an empty signature": lambda b: _envelope(b)["signatures"][0].update(sig=""),
    "a key id": lambda b: _envelope(b)["signatures"][0].update(keyid=PUBLISHER.key_id),
    "more in the signature": lambda b: _envelope(b)["signatures"][0].update(extra=1),
    "a payload that is no text": lambda b: _envelope(b).update(payload=1),
    "a payload out of base64": lambda b: _envelope(b).update(payload="!!!!"),
    "a transparency log": lambda b: _material(b)["tlogEntries"].append({}),
    "no transparency log": lambda b: _material(b).pop("tlogEntries"),
    "a certificate": lambda b: _material(b).update(certificate={"rawBytes": ""}),
    "no key": lambda b: _material(b).pop("publicKey"),
    "no hint": lambda b: _material(b)["publicKey"].pop("hint"),
    "a hint that is no text": lambda b: _material(b)["publicKey"].update(hint=["x"]),
    "the raw key": lambda b: _material(b)["publicKey"].update(rawBytes=""),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_that_says_anything_else_is_refused(name: str) -> None:
    document = json.loads(_bundle())
    BUNDLES[name](document)
    with pytest.raises((InvalidInput, Unauthorized)):
        verify_version(canonical.encode(document), MANIFEST, KNOWN)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b + b"\n",
        lambda b: json.dumps(json.loads(b), indent=1).encode(),
        lambda b: b.replace(b'{"dsseEnvelope"', b'{"mediaType":"x","dsseEnvelope"', 1),
        lambda b: b.replace(b'"keyid":""', b'"keyid":"","keyid":""'),
        lambda b: b.replace(b'"payload":"e', b'"payload":"\\u0065'),
        lambda b: b"",
        lambda b: b"[]",
        lambda b: b"null",
        lambda b: b" " * (limits.BUNDLE_MAX + 1),
    ],
)
def test_a_bundle_has_one_spelling(change: Callable[[bytes], bytes]) -> None:
    changed = change(_bundle())
    assert changed != _bundle()
    with pytest.raises(InvalidInput):
        verify_version(changed, MANIFEST, KNOWN)


def test_every_flipped_bit_of_a_bundle_is_refused() -> None:
    bundle, accepted = _bundle(), []
    for bit, wrong in flips(bundle):
        try:
            verify_version(wrong, MANIFEST, KNOWN)
        except RegistryError:
            continue
        accepted.append(bit)
    assert accepted == []


def test_every_flipped_bit_of_a_manifest_is_refused() -> None:
    bundle, accepted = _bundle(), []
    for bit, wrong in flips(MANIFEST.encoded):
        try:
            verify_version(bundle, Manifest.parse(wrong), KNOWN)
        except RegistryError:
            continue
        accepted.append(bit)
    assert accepted == []


_SAMPLE = _bundle()


@settings(derandomize=True, max_examples=500)
@given(st.integers(0, len(_SAMPLE)), st.integers(0, 40), st.binary(max_size=40))
def test_damaged_bundles_are_refused_with_an_error_of_ours(at: int, cut: int, put: bytes) -> None:
    damaged = _SAMPLE[:at] + put + _SAMPLE[at + cut :]
    if damaged != _SAMPLE:
        with pytest.raises(RegistryError):
            verify_version(damaged, MANIFEST, KNOWN)


_TEXT = st.text(st.characters(exclude_categories=["C"], exclude_characters="/\\"), min_size=1)


@settings(derandomize=True, max_examples=100)
@given(st.dictionaries(_TEXT, st.binary(max_size=200), min_size=1, max_size=6), st.text())
def test_any_version_is_signed_or_refused_for_its_paths(files: dict[str, bytes], name: str) -> None:
    try:
        manifest = Manifest.parse(version_of(files).encoded)
    except InvalidInput:
        return
    try:
        bundle = sign_version(manifest, name, PUBLISHER)
    except InvalidInput:
        assert any("\ud800" <= c <= "\udfff" for c in name)
        return
    assert verify_version(bundle, manifest, KNOWN) == PUBLISHER.key_id
    other = dataclasses.replace(manifest, files=manifest.files[1:])
    with pytest.raises(IntegrityError):
        verify_version(bundle, other, KNOWN)


def test_the_largest_version_has_a_bundle_within_bounds() -> None:
    """FILES_MAX files with the longest paths, of quotes, each of which JSON makes two bytes."""
    folder = "/".join(['"' * 255] * 3)
    files = {folder + "/" + '"' * 254 + str(number): b"" for number in range(2)}
    manifests = [version_of(dict(list(files.items())[:count])) for count in (1, 2)]
    one, two = (len(sign_version(manifest, "m", PUBLISHER)) for manifest in manifests)
    largest_size_digits = 2 * len(str(limits.INTEGER_MAX))  # as base64
    assert one + (two - one + largest_size_digits) * limits.FILES_MAX < limits.BUNDLE_MAX
