"""In memory: at which places verified chunks lie, and which places want which chunk.

Pure bookkeeping without I/O. Every call is made under the cache's lock. Cost: one `Place` per
chunk of each file, so a 5 GB model is 1,280 of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cachd import limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile


class StoredFile:
    """A file of the cache, by its chunk root, whichever versions and paths share it.

    `have[i]` is 1 when chunk i is verified and written. `complete`: it is a blob, and final.
    `writers` counts stores under way: a file is published when there are none. `gone`: dropped.
    """

    __slots__ = ("chunks", "complete", "gone", "have", "root", "size", "writers")

    def __init__(self, file: ModelFile, have: bytearray, *, complete: bool) -> None:
        self.root = file.chunk_root
        self.chunks = file.chunks
        self.size = file.size
        self.have = have
        self.complete = complete
        self.writers = 0
        self.gone = False


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Chunk number `position` of a file, `offset` bytes from its start."""

    stored: StoredFile
    position: int
    offset: int

    @property
    def chunk(self) -> Chunk:
        return self.stored.chunks[self.position]


class Index:
    """Chunk id -> places that hold it, and chunk id -> places that want it."""

    def __init__(self) -> None:
        self._files: dict[bytes, StoredFile] = {}
        self._holding: dict[ChunkId, list[Place]] = {}
        self._wanting: dict[ChunkId, list[Place]] = {}
        self.gained: list[ChunkId] = []
        """What came to be held chunk by chunk, in order, since `generation` grew."""
        self.generation = 0
        """Grows whenever what is held changes otherwise."""

    def file(self, chunk_root: bytes) -> StoredFile | None:
        return self._files.get(chunk_root)

    def is_complete(self, chunk_root: bytes) -> bool:
        stored = self._files.get(chunk_root)
        return stored is not None and stored.complete

    def complete(self) -> dict[bytes, int]:
        """Chunk root -> size."""
        return {root: stored.size for root, stored in self._files.items() if stored.complete}

    def add(self, stored: StoredFile) -> None:
        self._files[stored.root] = stored
        for place in _places(stored):
            side = self._holding if stored.have[place.position] else self._wanting
            side.setdefault(place.chunk.id, []).append(place)
        self._begin_generation()

    def remove(self, stored: StoredFile) -> None:
        stored.gone = True
        self._files.pop(stored.root, None)
        for chunk_id in {chunk.id for chunk in stored.chunks}:
            for side in (self._holding, self._wanting):
                left = [place for place in side.pop(chunk_id, ()) if place.stored is not stored]
                if left:
                    side[chunk_id] = left
        self._begin_generation()

    def holding(self, chunk_id: ChunkId) -> Place | None:
        """One place that holds the chunk; a complete file rather than one being filled."""
        places = self._holding.get(chunk_id)
        if not places:
            return None
        return next((place for place in places if place.stored.complete), places[0])

    def wanting(self, chunk_id: ChunkId) -> tuple[Place, ...]:
        return tuple(self._wanting.get(chunk_id, ()))

    def fill(self, chunk_id: ChunkId, written: Iterable[Place]) -> None:
        """These places hold the chunk now."""
        done = {id(place) for place in written if not place.stored.gone}
        waiting = self._wanting.pop(chunk_id, [])
        left = [place for place in waiting if id(place) not in done]
        if left:
            self._wanting[chunk_id] = left
        for place in waiting:
            if id(place) in done:
                place.stored.have[place.position] = 1
                self._holding.setdefault(chunk_id, []).append(place)
        self.gained.append(chunk_id)
        if len(self.gained) > limits.GAINED_MAX:
            self._begin_generation()

    def _begin_generation(self) -> None:
        self.generation += 1
        self.gained = []

    def missing(self, manifest: Manifest) -> dict[ChunkId, Chunk]:
        """The chunks that files of this version still want, in the order of the files."""
        wanted: dict[ChunkId, Chunk] = {}
        for file in manifest.files:
            stored = self._files.get(file.chunk_root)
            if stored is None or not stored.complete:
                have = stored.have if stored else bytes(len(file.chunks))
                wanted.update(
                    (chunk.id, chunk)
                    for chunk, there in zip(file.chunks, have, strict=True)
                    if not there
                )
        return wanted


def _places(stored: StoredFile) -> Iterator[Place]:
    offset = 0
    for position, chunk in enumerate(stored.chunks):
        yield Place(stored, position, offset)
        offset += chunk.length
