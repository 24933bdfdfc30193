"""What a cache has of an origin's lost bytes. Reads beside the running node; nothing is locked."""

from __future__ import annotations

import os
from pathlib import Path

from cachd.cache.documents import DocumentFiles, DocumentKind
from cachd.cache.layout import Layout
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import PackName
from registry_core.errors import NotFound, RegistryError

Places = dict[ChunkId, tuple[list[Path], int]]


class CacheSource:
    """A `registry_core.repair.sources.Source`: the cache of the node with this data directory."""

    def __init__(self, data: Path) -> None:
        self.name = f"the cache of {data}"
        self._layout = Layout(data / "cache")
        if not self._layout.documents.is_dir():
            raise NotFound(
                f"{data} is no node's data directory: name what `cachd node --data` names"
            )
        self._documents = DocumentFiles(self._layout)
        self._places: tuple[Digest, Places] | None = None  # of the last version

    def manifest(self, digest: Digest) -> bytes | None:
        return self._read(digest, DocumentKind.MANIFEST)

    def bundle(self, digest: Digest) -> bytes | None:
        return self._read(digest, DocumentKind.BUNDLE)

    def pack(self, name: PackName) -> bytes | None:  # noqa: ARG002 - it keeps files
        return None

    def chunk(self, manifest: Manifest, chunk: Chunk) -> bytes | None:
        if self._places is None or self._places[0] != manifest.digest:
            self._places = (manifest.digest, self._find(manifest))
        paths, offset = self._places[1][chunk.id]
        for path in paths:
            try:
                with path.open("rb") as file:
                    return os.pread(file.fileno(), chunk.length, offset)
            except OSError:
                continue
        return None

    def _find(self, manifest: Manifest) -> Places:
        version = self._layout.version(manifest.digest)
        return {
            chunk.id: ([self._layout.blob(file.chunk_root), version / file.path], offset)
            for file in manifest.files
            for offset, chunk in file.placed_chunks()
        }

    def _read(self, digest: Digest, kind: DocumentKind) -> bytes | None:
        try:
            return self._documents.read(digest, kind)
        except RegistryError:
            return None
