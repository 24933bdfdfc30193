"""Signed versions: OpenSSF Model Signing bundles (spec v1.0), by the publisher.

A bundle covers every file's SHA-256 and, as annotations that the specification lets pass, its size
and chunk root; so one signature binds what tools check and what nodes run. Verification is strict:
the statement that the manifest implies is made anew and must equal the signed one byte for byte,
which leaves no room for duplicate, hidden, unsorted or ignored resources. `ignore_paths` is empty:
what a signer lists there, the stock tool does not look at. Keys are P-256, the one kind that both
OMS and policies know. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError, InvalidInput, Unauthorized
from registry_core.trust.dsse import decode_base64, pae
from registry_core.trust.keys import SigningKey, is_ed25519, verify_signature

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def sign_version(manifest: Manifest, name: str, key: SigningKey) -> bytes:
    """The bundle over `manifest`'s files, in canonical JSON. `name` is the subject's name."""
    if is_ed25519(key.public_pem):
        raise InvalidInput("a version is signed with a P-256 key: OMS tools know no Ed25519")
    payload = _statement(manifest, name)
    return _bundle(payload, key.key_id, key.sign(pae(PAYLOAD_TYPE, payload)))


def verify_version(bundle: bytes, manifest: Manifest, publishers: Mapping[str, str]) -> str:
    """Key id of the publisher who signed exactly `manifest`. `publishers` is key id -> PEM."""
    payload, key_id, signature = _parse(bundle)
    pem = publishers.get(key_id)
    if pem is None:
        raise Unauthorized(
            f"the version is signed by key {key_id:.16}…, which the policy knows as no publisher"
        )
    if is_ed25519(pem) or not verify_signature(pem, pae(PAYLOAD_TYPE, payload), signature):
        raise Unauthorized(f"the version's signature by key {key_id:.16}… is not valid")
    expected = _statement(manifest, _subject_name(payload))
    if payload != expected:
        raise IntegrityError(
            f"the version's signature is over other files than those of manifest {manifest.digest}",
            expected=hashlib.sha256(expected).hexdigest(),
            actual=hashlib.sha256(payload).hexdigest(),
        )
    return key_id


def _statement(manifest: Manifest, name: str) -> bytes:
    digests = hashlib.sha256(b"".join(file.sha256 for file in manifest.files))
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digests.hexdigest()}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [],
                },
                "resources": [
                    {
                        "name": file.path,
                        "algorithm": "sha256",
                        "digest": file.sha256.hex(),
                        "annotations": {"size": file.size, "chunk_root": file.chunk_root.hex()},
                    }
                    for file in manifest.files
                ],
            },
        }
    )


def _bundle(payload: bytes, key_id: str, signature: bytes) -> bytes:
    return canonical.encode(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
            },
        }
    )


def _parse(bundle: bytes) -> tuple[bytes, str, bytes]:
    """(payload, key id, signature) of a bundle that is exactly as `_bundle` makes it."""
    doc: Any = canonical.decode(bundle, bytes_max=limits.BUNDLE_MAX, what="bundle")
    try:
        key_id = doc["verificationMaterial"]["publicKey"]["hint"]
        envelope = doc["dsseEnvelope"]
        payload = decode_base64(envelope["payload"], "bundle: payload")
        signature = decode_base64(envelope["signatures"][0]["sig"], "bundle: sig")
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidInput(f"bundle is not well formed: {error!r}") from error
    if not isinstance(key_id, str) or _bundle(payload, key_id, signature) != bundle:
        raise InvalidInput("bundle holds what a bundle of this registry does not")
    return payload, key_id, signature


def _subject_name(payload: bytes) -> str:
    doc: Any = canonical.decode(payload, bytes_max=limits.BUNDLE_MAX, what="OMS statement")
    try:
        name = doc["subject"][0]["name"]
    except (KeyError, TypeError, IndexError) as error:
        raise InvalidInput("OMS statement has no subject") from error
    if not isinstance(name, str):
        raise InvalidInput("OMS statement: the subject's name is not text")
    return name
