"""Verified chunks on their way into files, many at a time.

A chunk that another file of this cache holds need not be written: where the filesystem can share
blocks between files (XFS, Btrfs), the new file gets those of the old one. What was verified then is
what the new file shows, read back from it: the old one may have rotted beneath its cached pages.

Any thread may call. `lock` is the cache's, and guards the index and every file's `writers`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from cachd.cache.clone import clone_chunk
from cachd.cache.errors import CacheUnavailable, VersionIncomplete
from cachd.cache.index import Index, Place, StoredFile
from cachd.cache.layout import Layout
from cachd.cache.leaving import LeavingFiles
from cachd.cache.partial import write_chunk
from cachd.cache.space import Space
from cachd.cache.verifier import VerifiedChunk
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest

Write = Callable[[list[Place]], bool]


class Storing:
    """Of one cache."""

    def __init__(
        self,
        layout: Layout,
        index: Index,
        lock: threading.Lock,
        space: Space,
        leaving: LeavingFiles,
    ) -> None:
        self._layout: Final = layout
        self._index = index
        self._lock = lock
        self._quiet = threading.Condition(lock)
        self._space = space
        self._leaving = leaving

    def store(self, verified: VerifiedChunk) -> None:
        """Write it at every place that wants it, and offer it from then on."""

        def write(places: list[Place]) -> bool:
            self._leaving.make_way(len(places) * len(verified.data))
            write_chunk(self._layout, verified, places)
            return True

        self._fill(verified.chunk.id, write)

    def clone(self, chunk: Chunk, buffer: memoryview) -> bool:
        """The same for a chunk that is held, without writing it. False: it has to be stored."""
        with self._lock:
            source = self._index.holding(chunk.id)
        if source is None:
            return False
        return self._fill(
            chunk.id, lambda places: clone_chunk(self._layout, source, places, buffer)
        )

    def whole_files(self, manifest: Manifest) -> list[StoredFile]:
        """The version's files once nobody writes to them, or VersionIncomplete."""
        with self._quiet:
            roots = dict.fromkeys(file.chunk_root for file in manifest.files if file.chunks)
            found = [self._index.file(root) for root in roots]
            files = [stored for stored in found if stored is not None and all(stored.have)]
            if len(files) != len(roots):
                raise VersionIncomplete(
                    f"version {manifest.digest} lacks {len(self._index.missing(manifest))} "
                    "chunks: fetch them first"
                )
            self._quiet.wait_for(lambda: not any(stored.writers for stored in files))
            return files

    def _fill(self, chunk_id: ChunkId, write: Write) -> bool:
        """`write` for each file that wants the chunk; whether all of them have it now."""
        with self._lock:
            by_file: dict[StoredFile, list[Place]] = {}
            for place in self._index.wanting(chunk_id):
                by_file.setdefault(place.stored, []).append(place)
            for stored in by_file:
                stored.writers += 1
        written: list[Place] = []
        try:
            for places in by_file.values():
                if write(places):
                    written.extend(places)
        except CacheUnavailable:
            if any(not stored.gone for stored in by_file):
                raise  # otherwise the version was dropped meanwhile, its files with it
        finally:
            for stored in by_file:
                self._space.written(stored.root)
            with self._quiet:
                for stored in by_file:
                    stored.writers -= 1
                self._index.fill(chunk_id, written)
                self._quiet.notify_all()
        return len(written) == sum(map(len, by_file.values()))
