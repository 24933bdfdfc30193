"""Chunks to packs to the origin.

Packs are made in the order of the chunks and named by their content, so a push that was cut off
finds what it had uploaded and goes on from there. At most two packs are in memory at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from blake3 import blake3

from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import Location, PackName, pack_trailer, plan_packs
from registry_core.errors import InvalidModelFiles
from registry_core.origin.layout import pack_key
from registry_core.origin.store import Origin
from registry_core.push.hashing import open_source, read_exactly
from registry_core.push.packing import locations_in, named_pack
from registry_core.push.progress import Progress
from registry_core.push.scan import SourceFile

_PACKS_IN_FLIGHT = 2


class Uploader:
    """Uploads chunks of one manifest from the files it was made of."""

    def __init__(
        self, origin: Origin, manifest: Manifest, files: list[SourceFile], progress: Progress
    ) -> None:
        self._origin = origin
        self._places = _places(manifest, files)
        self._progress = progress
        self._lock = threading.Lock()
        self._done = self._total = 0
        self.bytes_uploaded = 0

    def upload(
        self, chunks: Iterable[Chunk], avoid: Collection[PackName] = ()
    ) -> dict[ChunkId, Location]:
        """Put `chunks` into packs in the origin, none of them named as one to `avoid`; where each
        now lies."""
        groups = list(plan_packs(chunks))
        self._total = sum(chunk.length for group in groups for chunk in group)
        locations: dict[ChunkId, Location] = {}
        with ThreadPoolExecutor(_PACKS_IN_FLIGHT, "upload") as pool:
            running: set[Future[dict[ChunkId, Location]]] = set()
            for group in groups:
                if len(running) >= _PACKS_IN_FLIGHT:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        locations |= future.result()
                running.add(pool.submit(self._upload_pack, group, avoid))
            for future in running:
                locations |= future.result()
        return locations

    def _upload_pack(
        self, group: list[Chunk], avoid: Collection[PackName]
    ) -> dict[ChunkId, Location]:
        named = named_pack(self._read_pack(group), group, avoid)
        if named is None:
            half = len(group) // 2
            return self._upload_pack(group[:half], avoid) | self._upload_pack(group[half:], avoid)
        name, pack = named
        if self._origin.size(pack_key(name)) != len(pack):
            self._origin.put(pack_key(name), pack)
            with self._lock:
                self.bytes_uploaded += len(pack)
        self._tell(sum(chunk.length for chunk in group))
        return dict(locations_in(name, group))

    def _read_pack(self, group: list[Chunk]) -> bytearray:
        trailer = pack_trailer(group)
        pack = bytearray(sum(chunk.length for chunk in group) + len(trailer))
        view, offset = memoryview(pack), 0
        for chunk in group:
            self._read_chunk(chunk, view[offset : offset + chunk.length])
            offset += chunk.length
        view[offset:] = trailer
        return pack

    def _read_chunk(self, chunk: Chunk, view: memoryview) -> None:
        file, offset = self._places[chunk.id]
        with open_source(file) as descriptor:
            read_exactly(descriptor, file, view, offset)
        if blake3(view).digest() != chunk.id.raw:
            raise InvalidModelFiles(f"{file.location} changed while it was pushed: push again")

    def _tell(self, count: int) -> None:
        with self._lock:
            self._done += count
            done = self._done
        self._progress("upload", done, self._total)


def _places(manifest: Manifest, files: list[SourceFile]) -> dict[ChunkId, tuple[SourceFile, int]]:
    sources = {file.path: file for file in files}
    return {
        chunk.id: (sources[file.path], offset)
        for file in manifest.files
        for offset, chunk in file.placed_chunks()
    }
