"""What is sound of a damaged version is kept: only damaged chunks have to travel again."""

from __future__ import annotations

import os

from cachd.cache.cache import Cache, Filling
from cachd.cache.verifier import verify
from registry_core.domain.identifiers import ChunkId
from registry_core.errors import IntegrityError


def salvage(cache: Cache, filling: Filling) -> int:
    """Copy missing chunks from the files of the version's own directory, each hashed; the bytes
    that were saved."""
    folder, saved = cache.published(filling.manifest.digest), 0
    if folder is None:
        return 0
    missing: set[ChunkId] = {chunk.id for chunk in filling.missing}
    for file in filling.manifest.files:
        try:
            descriptor = os.open(folder / file.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            for offset, chunk in file.placed_chunks():
                if chunk.id not in missing:
                    continue
                try:
                    cache.store(verify(chunk, os.pread(descriptor, chunk.length, offset)))
                except (OSError, IntegrityError):
                    continue  # another place may have it, or a source
                missing.discard(chunk.id)
                saved += chunk.length
        finally:
            os.close(descriptor)
    return saved
