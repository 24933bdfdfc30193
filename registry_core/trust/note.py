"""Signed checkpoints: C2SP signed-note, Ed25519.

<text, ending in a newline>

— <key name> <base64(key hash (4) || signature (64))>

Here the text is a checkpoint, the name is the checkpoint's first line, and there is exactly one
signature line. Specification: c2sp.org/signed-note, signature type 0x01. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives import serialization

from registry_core.domain import limits
from registry_core.domain.checkpoint import ORIGIN_PREFIX, Checkpoint
from registry_core.domain.policy import Root
from registry_core.errors import InvalidInput, Unauthorized
from registry_core.trust.dsse import decode_base64
from registry_core.trust.keys import SigningKey, is_ed25519, load_public, verify_signature

_ED25519 = b"\x01"


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    text = checkpoint.text()
    name = ORIGIN_PREFIX + checkpoint.registry
    signed = key_hash(name, key.public_pem) + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signed).decode()}\n".encode()


def verify_checkpoint(data: bytes, root: Root) -> Checkpoint:
    """The checkpoint, if it is of this registry and the authority of `root` signed it."""
    if len(data) > limits.CHECKPOINT_MAX:
        raise InvalidInput(f"a checkpoint of {len(data)} bytes is too large")
    try:
        text, separator, tail = data.decode("utf-8").rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise InvalidInput("the checkpoint is not UTF-8 text") from error
    name = ORIGIN_PREFIX + root.registry
    head = f"— {name} "
    if not separator or not tail.startswith(head) or not tail.endswith("\n"):
        raise Unauthorized(f"the checkpoint is not signed as {name}")
    signed = decode_base64(tail[len(head) : -1], "the checkpoint's signature")
    text += "\n"
    if signed[:4] != key_hash(name, root.authority) or not verify_signature(
        root.authority, text.encode(), signed[4:]
    ):
        raise Unauthorized("the checkpoint's signature is not by this registry's authority")
    checkpoint = Checkpoint.parse(text)
    if checkpoint.registry != root.registry:
        raise Unauthorized(f"the checkpoint is of registry {checkpoint.registry:.40}")
    return checkpoint


@lru_cache(maxsize=64)  # a handful in practice; each commit signs with the same
def key_hash(name: str, public_pem: str) -> bytes:
    """SHA-256(name || "\\n" || 0x01 || raw public key), first 4 bytes."""
    if not is_ed25519(public_pem):
        raise InvalidInput("checkpoints are signed with an Ed25519 key: give the authority one")
    raw = load_public(public_pem).public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]
