"""Packs: how chunks lie in an origin, and the hint that says where.

A pack is an object of at most 64 MiB: chunks back to back, then an index of them, then a footer,
so that a pack explains itself when every hint is lost. Its name is the BLAKE3 of its bytes. A hint
(`<digest>.packs` beside a manifest) maps each chunk of a version to (pack, offset). Hints are not
trusted: what is read by them is verified as a chunk. Formats: docs/FORMATS.md, "Pack".
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.domain.identifiers import ChunkId, parse_hex32
from registry_core.domain.manifest import Chunk
from registry_core.errors import IntegrityError, InvalidInput

MAGIC = b"CACHDPK1"
HINT_FORMAT = "cachd.packs/1"
_INDEX_ITEM = struct.Struct(">32sI")
_FOOTER = struct.Struct(">I8s")
FOOTER_BYTES = _FOOTER.size


@dataclass(frozen=True, slots=True)
class PackName:
    """BLAKE3 of a pack object's bytes."""

    raw: bytes

    @classmethod
    def parse_hex(cls, text: object) -> PackName:
        return cls(parse_hex32(text, "pack name"))

    @property
    def hex(self) -> str:
        return self.raw.hex()


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk lies: `length` bytes at `offset` of `pack`."""

    pack: PackName
    offset: int
    length: int


Locations = Mapping[ChunkId, Location]


def plan_packs(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Group chunks, in order, into packs. The same chunks always give the same packs."""
    group: list[Chunk] = []
    total = _FOOTER.size
    for chunk in chunks:
        cost = chunk.length + _INDEX_ITEM.size
        if group and total + cost > limits.PACK_MAX:
            yield group
            group, total = [], _FOOTER.size
        group.append(chunk)
        total += cost
    if group:
        yield group


def pack_trailer(chunks: Iterable[Chunk]) -> bytes:
    """The index and footer that follow the bytes of `chunks`."""
    items = [_INDEX_ITEM.pack(chunk.id.raw, chunk.length) for chunk in chunks]
    return b"".join(items) + _FOOTER.pack(len(items), MAGIC)


def read_pack_index(pack: bytes) -> list[tuple[int, Chunk]]:
    """(offset, chunk) of each chunk, from the bytes of a whole pack."""
    body = memoryview(pack)
    start = index_start(len(body), bytes(body[-FOOTER_BYTES:]))
    return parse_index(bytes(body[start : len(body) - FOOTER_BYTES]), start)


def index_start(pack_bytes: int, footer: bytes) -> int:
    """Where the index of a pack of so many bytes begins; it ends FOOTER_BYTES before its end."""
    if not FOOTER_BYTES <= pack_bytes <= limits.PACK_MAX or len(footer) != FOOTER_BYTES:
        raise IntegrityError(f"a pack of {pack_bytes} bytes is damaged")
    count, magic = _FOOTER.unpack(footer)
    start = pack_bytes - FOOTER_BYTES - count * _INDEX_ITEM.size
    if magic != MAGIC or count > limits.PACK_CHUNKS_MAX or start < 0:
        raise IntegrityError("a pack has a damaged footer")
    return int(start)


def parse_index(index: bytes, start: int) -> list[tuple[int, Chunk]]:
    """(offset, chunk) of each chunk, from the bytes of a pack's index, which begins at `start`."""
    placed, offset = [], 0
    for raw, length in _INDEX_ITEM.iter_unpack(index):
        placed.append((offset, Chunk(ChunkId(raw), length)))
        offset += length
    if offset != start:
        raise IntegrityError("a pack's index does not match its length")
    return placed


def encode_hint(locations: Locations) -> bytes:
    """The hint that says where each chunk of a version lies."""
    by_pack: dict[PackName, list[list[Any]]] = {}
    for chunk, place in locations.items():
        by_pack.setdefault(place.pack, []).append([chunk.hex, place.offset, place.length])
    packs = [
        {"pack": name.hex, "chunks": sorted(items, key=lambda item: int(item[1]))}
        for name, items in sorted(by_pack.items(), key=lambda item: item[0].raw)
    ]
    return canonical.encode({"format": HINT_FORMAT, "packs": packs})


@functools.lru_cache(maxsize=1)
def decode_hint(data: bytes) -> Locations:
    """The locations in a hint, or InvalidInput. The last is kept: who fetches a version looks at
    its hint when it comes, and again to go by it."""
    doc = canonical.decode(data, bytes_max=limits.HINT_MAX, what="packs hint")
    if not isinstance(doc, dict) or doc.get("format") != HINT_FORMAT:
        raise InvalidInput("packs hint: format is not known here")
    try:
        return MappingProxyType(dict(_hint_items(doc)))
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("packs hint is not well formed") from error


def _hint_items(doc: dict[str, Any]) -> Iterator[tuple[ChunkId, Location]]:
    for group in doc["packs"]:
        name = PackName.parse_hex(group["pack"])
        for chunk, offset, length in group["chunks"]:
            inside = offset >= 0 and 0 < length <= limits.CHUNK_MAX
            if not inside or offset + length > limits.PACK_MAX:
                raise ValueError(offset)
            yield ChunkId.parse_hex(chunk), Location(name, offset, length)
