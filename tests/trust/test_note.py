"""Signed checkpoints: the published vectors of signed-note, and nothing but the authority's."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.domain import limits
from registry_core.domain.checkpoint import Checkpoint
from registry_core.errors import InvalidInput, RegistryError, Unauthorized
from registry_core.trust.keys import SigningKey, public_pem, verify_signature
from registry_core.trust.note import key_hash, sign_checkpoint, verify_checkpoint
from tests.trust.documents import AUTHORITY, REGISTRY, STRANGER, ed25519_key, flips, root

CHECKPOINT = Checkpoint(REGISTRY, 7, bytes(range(32)), 1_700_000_000_123)

# Made from the specification with hashlib and Ed25519 alone; such signatures are deterministic.
GOLDEN = (
    "cachd.registry/00112233445566778899aabbccddeeff\n"
    "7\n"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    "time 1700000000123\n"
    "\n"
    "— cachd.registry/00112233445566778899aabbccddeeff "
    "WTry1gcnzb2Q+GVUyxpXFeMAltHTtBDbZ29qG7bMdQP6eRL/PscJ/z9pzFjwqbjIXOAqinhfT2kQaRV1ZDIG7loFSAA=\n"
)

_GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)

# (name, hash, type || public key, text, hash || signature): the example of c2sp.org/signed-note,
# and that of the package golang.org/x/mod/sumdb/note.
VECTORS = [
    (
        "example.com/foo",
        "530d903a",
        "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        b"This is an example message.\n",
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=",
    ),
    (
        "PeterNeumann",
        "c74f20a3",
        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        _GO_TEXT,
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=",
    ),
]


@pytest.mark.parametrize(("name", "hash_hex", "public", "text", "signed"), VECTORS)
def test_published_notes_have_our_key_hash_and_verify(
    name: str, hash_hex: str, public: str, text: bytes, signed: str
) -> None:
    raw = base64.b64decode(public)
    assert raw[0] == 1
    pem = public_pem(ed25519.Ed25519PublicKey.from_public_bytes(raw[1:]))
    signature = base64.b64decode(signed)
    assert key_hash(name, pem).hex() == signature[:4].hex() == hash_hex
    assert verify_signature(pem, text, signature[4:])


def test_a_key_of_the_go_package_signs_as_there() -> None:
    """PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"""
    seed = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
    key = SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
    _, _, _, text, signed = VECTORS[1]
    assert key_hash("PeterNeumann", key.public_pem) + key.sign(text) == base64.b64decode(signed)


def test_a_signed_checkpoint_is_these_bytes() -> None:
    assert sign_checkpoint(CHECKPOINT, AUTHORITY).decode() == GOLDEN


def test_a_signed_checkpoint_verifies() -> None:
    assert verify_checkpoint(sign_checkpoint(CHECKPOINT, AUTHORITY), root()) == CHECKPOINT


def test_every_flipped_bit_is_refused() -> None:
    accepted = []
    for bit, wrong in flips(sign_checkpoint(CHECKPOINT, AUTHORITY)):
        try:
            verify_checkpoint(wrong, root())
        except RegistryError:
            continue
        accepted.append(bit)
    assert accepted == []


def test_another_key_or_registry_is_refused() -> None:
    with pytest.raises(Unauthorized, match="not by this registry's authority"):
        verify_checkpoint(sign_checkpoint(CHECKPOINT, ed25519_key(7)), root())
    foreign = dataclasses.replace(CHECKPOINT, registry="f" * 32)
    with pytest.raises(Unauthorized):
        verify_checkpoint(sign_checkpoint(foreign, AUTHORITY), root())


def test_a_foreign_checkpoint_under_our_name_is_refused() -> None:
    """Signed by the authority's very key: the registry in the text is what counts."""
    text = dataclasses.replace(CHECKPOINT, registry="f" * 32).text()
    name = f"cachd.registry/{REGISTRY}"
    with pytest.raises(Unauthorized, match="of registry ffff"):
        verify_checkpoint(_note(text, name), root())


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note + "\n",
        lambda note: note[:-1],
        lambda note: "\n" + note,
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.replace("\n\n", "\n\n\n"),
        lambda note: note.replace("— ", "- "),
        lambda note: note.replace("\n", "\r\n"),
        lambda note: note + note.split("\n\n")[1],
        lambda note: note[:-2] + "\n",
        lambda note: note.replace("\n7\n", "\n07\n"),
        lambda note: "",
        lambda note: "\n\n",
    ],
)
def test_a_note_has_one_form(change: Callable[[str], str]) -> None:
    note = sign_checkpoint(CHECKPOINT, AUTHORITY).decode()
    with pytest.raises((InvalidInput, Unauthorized)):
        verify_checkpoint(change(note).encode(), root())


@pytest.mark.parametrize(
    "text",
    [
        CHECKPOINT.text().replace("\n7\n", "\n07\n"),
        CHECKPOINT.text().replace("\n7\n", "\n-7\n"),
        CHECKPOINT.text().replace("time ", ""),
        CHECKPOINT.text() + "extension\n",
        "free text\n",
    ],
)
def test_what_the_authority_signed_is_still_parsed_strictly(text: str) -> None:
    with pytest.raises(InvalidInput):
        verify_checkpoint(_note(text, f"cachd.registry/{REGISTRY}"), root())


def test_a_note_is_bounded_before_it_is_read() -> None:
    long = Checkpoint(REGISTRY, 7, bytes(32), 1).text() + "x" * limits.CHECKPOINT_MAX + "\n"
    with pytest.raises(InvalidInput, match="too large"):
        verify_checkpoint(_note(long, f"cachd.registry/{REGISTRY}"), root())


def test_checkpoints_are_for_ed25519_keys() -> None:
    with pytest.raises(InvalidInput, match="Ed25519"):
        sign_checkpoint(CHECKPOINT, STRANGER)
    p256_root = dataclasses.replace(root(), authority=STRANGER.public_pem)
    with pytest.raises(InvalidInput, match="Ed25519"):
        verify_checkpoint(sign_checkpoint(CHECKPOINT, AUTHORITY), p256_root)


@settings(derandomize=True, max_examples=300)
@given(
    st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
)
def test_noise_is_refused_with_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(RegistryError):
        verify_checkpoint(data, root())


def _note(text: str, name: str) -> bytes:
    signed = key_hash(name, AUTHORITY.public_pem) + AUTHORITY.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signed).decode()}\n".encode()
