"""Small versions made of given bytes, and caches filled with them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping

from blake3 import blake3

from cachd.cache.cache import Cache
from cachd.cache.verifier import verify
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.parts import hashed_with_marks

CHUNK = 64 * 1024

Chunks = dict[ChunkId, bytes]


def random_bytes(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def chunk_of(data: bytes, *, marked: bool = False) -> Chunk:
    marks = hashed_with_marks(memoryview(data))[1] if marked else b""
    return Chunk(ChunkId(blake3(data).digest()), len(data), marks)


def make_version(
    files: Mapping[str, bytes], chunk_bytes: int = CHUNK, *, marked: bool = False
) -> tuple[Manifest, Chunks]:
    """The manifest of `files`, and the bytes of its chunks."""
    made, chunks = [], {}
    for path, data in files.items():
        pieces = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
        listed = tuple(chunk_of(piece, marked=marked) for piece in pieces)
        chunks.update({chunk.id: piece for chunk, piece in zip(listed, pieces, strict=True)})
        made.append(ModelFile(path, len(data), hashlib.sha256(data).digest(), listed))
    return Manifest.build(made), chunks


def fill(cache: Cache, manifest: Manifest, chunks: Chunks) -> None:
    """Store everything that is missing, and publish."""
    for chunk in cache.begin(manifest).missing:
        cache.store(verify(chunk, chunks[chunk.id]))
    cache.publish(manifest)
