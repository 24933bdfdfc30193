"""The file that all ways bring: random bytes, as one version in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from bench.fetch.populate import populated
from cachd.cache.cache import Cache
from cachd.cache.verifier import verify
from registry_core.domain.chunking import chunk_bytes_for, cut_fixed
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile


@dataclass(frozen=True, slots=True)
class Source:
    """`root` is a cache that holds the version; `file` the version's one file in it."""

    root: Path
    manifest: Manifest
    file: Path

    @property
    def size(self) -> int:
        return self.manifest.size

    @property
    def sha256(self) -> str:
        return self.manifest.files[0].sha256.hex()


@contextmanager
def made_source(root: Path, size: int) -> Iterator[Source]:
    """A version of `size` bytes in a new cache, in memory as far as that goes; removed afterwards,
    with its disk space."""
    try:
        manifest, file = _fill(root, size)
        populated(file).close()
        yield Source(root, manifest, file)
    finally:
        remove(root)


def remove(root: Path) -> None:
    """Remove a folder of caches, whose published versions are read-only."""
    subprocess.run(["chmod", "-R", "u+w", str(root)], check=False)
    shutil.rmtree(root, ignore_errors=True)


def _fill(root: Path, size: int) -> tuple[Manifest, Path]:
    path, sha256, chunks = root.with_suffix(".bin"), hashlib.sha256(), []
    try:
        with path.open("wb") as file:
            for start, end in cut_fixed(0, size, chunk_bytes_for(size)):
                data = os.urandom(end - start)
                file.write(data)
                sha256.update(data)
                chunks.append(Chunk(ChunkId(blake3(data).digest()), len(data)))
        made = ModelFile("model.safetensors", size, sha256.digest(), tuple(chunks))
        manifest = Manifest.build([made])
        with Cache.open(root) as cache, path.open("rb") as file:
            cache.begin(manifest)
            for chunk in chunks:
                cache.store(verify(chunk, file.read(chunk.length)))
            return manifest, cache.publish(manifest) / made.path
    finally:
        path.unlink(missing_ok=True)
