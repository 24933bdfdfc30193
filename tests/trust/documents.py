"""Keys that are the same in every run, and small documents to sign with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from registry_core.domain.identifiers import ChunkId, Digest, ModelName, StageName
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.policy import Policy, Root
from registry_core.trust.keys import SigningKey
from registry_core.trust.policy import default_policy, make_root

REGISTRY = "00112233445566778899aabbccddeeff"


def p256(number: int) -> SigningKey:
    return SigningKey(ec.derive_private_key(number, ec.SECP256R1()))


def ed25519_key(number: int) -> SigningKey:
    seed = number.to_bytes(32, "big")
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))


OWNER, PUBLISHER, PROMOTER, STAGER, STRANGER = (p256(number) for number in range(101, 106))
AUTHORITY = ed25519_key(201)


def root() -> Root:
    return make_root(REGISTRY, OWNER, AUTHORITY)


def policy() -> Policy:
    return default_policy(REGISTRY, PUBLISHER, PROMOTER, STAGER)


def pems(*keys: SigningKey) -> dict[str, str]:
    return {key.key_id: key.public_pem for key in keys}


def version_of(files: Mapping[str, bytes], chunk_bytes: int = 64) -> Manifest:
    """The manifest of `files` (path -> content)."""
    made = []
    for path, data in files.items():
        pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        chunks = tuple(Chunk(ChunkId(blake3(piece).digest()), len(piece)) for piece in pieces)
        made.append(ModelFile(path, len(data), hashlib.sha256(data).digest(), chunks))
    return Manifest.build(made)


def small_version() -> Manifest:
    return version_of({"config.json": b"{}", "weights/a.bin": bytes(range(100))})


def move(policy: Policy, stage: str = "production", generation: int = 5) -> Move:
    return Move(
        REGISTRY,
        ModelName.parse("m"),
        StageName.parse(stage),
        generation,
        VersionPoint(2, Digest(bytes([2]) * 32)),
        VersionPoint(1, Digest(bytes([1]) * 32)),
        policy.digest,
    )


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every copy of `data` with one bit flipped, and the number of the bit."""
    for bit in range(len(data) * 8):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(wrong)
