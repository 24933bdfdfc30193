"""What packs of an origin hold. Thread-confined."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk
from registry_core.domain.packs import (
    FOOTER_BYTES,
    Location,
    PackName,
    index_start,
    parse_index,
    read_pack_index,
)
from registry_core.errors import IntegrityError, InvalidIdentifier, NotFound, OriginError
from registry_core.origin.layout import PACKS, pack_key
from registry_core.origin.store import Origin

_INDEXES_KEPT = 64
Index = dict[ChunkId, Location]


class PackShelf:
    """Each pack is read once; what is kept of it is whether it is sound, and of the last few their
    indexes. `deep` reads whole packs and hashes every chunk, otherwise length and index."""

    def __init__(self, origin: Origin, on_read: Callable[[int], None], *, deep: bool) -> None:
        self._origin = origin
        self._deep = deep
        self._on_read = on_read
        self.bytes_read = 0
        self._sound: dict[PackName, bool] = {}
        self._indexes: OrderedDict[PackName, Index] = OrderedDict()

    def index(self, name: PackName) -> Index | None:
        """Where the chunks of a sound pack lie in it; None if it is missing or damaged."""
        if self._sound.get(name) is False:
            return None
        if name in self._indexes:
            self._indexes.move_to_end(name)
            return self._indexes[name]
        read_whole = self._deep and name not in self._sound
        try:
            index = self._read_whole(name) if read_whole else self.read_index(name)
        except (NotFound, IntegrityError):
            self._sound[name] = False
            return None
        self._sound[name] = True
        self._indexes[name] = index
        if len(self._indexes) > _INDEXES_KEPT:
            self._indexes.popitem(last=False)
        return index

    def changed(self, name: PackName) -> None:
        """The pack was put anew."""
        self._sound.pop(name, None)
        self._indexes.pop(name, None)

    def read_index(self, name: PackName) -> Index:
        """What the end of the pack says of it; IntegrityError if that is not well formed."""
        size = self._origin.size(pack_key(name))
        if size is None:
            raise NotFound(f"there is no {pack_key(name)}")
        footer_at = max(0, size - FOOTER_BYTES)
        start = index_start(size, self._read(name, footer_at, size - footer_at))
        return _index(name, parse_index(self._read(name, start, footer_at - start), start))

    def find(
        self, wanted: Collection[ChunkId], last: Collection[PackName] = ()
    ) -> Iterator[tuple[ChunkId, Location]]:
        """Sound places of `wanted` chunks in any pack of the origin: of a chunk with several, the
        last is not in a pack of `last` if there is another. Reads the end of each pack."""
        elsewhere: set[ChunkId] = set()
        for found in self._origin.list(PACKS):
            try:
                name = PackName.parse_hex(found.key.rpartition("/")[2])
            except InvalidIdentifier:
                continue
            if self._sound.get(name) is False:
                continue
            try:
                index = self.read_index(name)
            except (NotFound, IntegrityError, OriginError):
                continue
            for chunk in (index.keys() & wanted) - elsewhere:
                if self.read_chunk(chunk, index[chunk]) is not None:
                    yield chunk, index[chunk]
                    if name not in last:
                        elsewhere.add(chunk)

    def read_chunk(self, chunk: ChunkId, place: Location) -> bytes | None:
        """The verified bytes at `place`, or None if others lie there."""
        try:
            data = bytes(self._origin.read_chunk(place))
        except (NotFound, OriginError):
            return None
        self._count(len(data))
        return data if blake3(data).digest() == chunk.raw else None

    def _read_whole(self, name: PackName) -> Index:
        pack = self._origin.get(pack_key(name), bytes_max=limits.PACK_MAX)
        self._count(len(pack))
        actual = blake3(pack).digest()
        if actual != name.raw:
            raise IntegrityError("a pack is damaged", expected=name.hex, actual=actual.hex())
        placed = read_pack_index(pack)
        view = memoryview(pack)
        sound = [
            (offset, chunk)
            for offset, chunk in placed
            if blake3(view[offset : offset + chunk.length]).digest() == chunk.id.raw
        ]
        return _index(name, sound)

    def _count(self, count: int) -> None:
        self.bytes_read += count
        self._on_read(count)

    def _read(self, name: PackName, offset: int, length: int) -> bytes:
        try:
            return bytes(self._origin.read_chunk(Location(name, offset, length))) if length else b""
        except OriginError as error:
            if error.retryable:
                raise
            raise IntegrityError(f"{pack_key(name)} ends early") from error


def _index(name: PackName, placed: list[tuple[int, Chunk]]) -> Index:
    return {chunk.id: Location(name, offset, chunk.length) for offset, chunk in placed}
