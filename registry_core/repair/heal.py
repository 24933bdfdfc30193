"""Putting back what a version lacks.

A pack that is lost comes back under its own name: whole from a source, or made anew of its chunks.
Where that is not possible, because chunks of deleted versions were in it, the chunks that the
version needs go into other packs. A hint is made anew where chunks have moved, or where it is lost:
packs carry an index, so all packs are looked through for what is not found otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from blake3 import blake3

from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import Location, PackName, encode_hint, pack_trailer, plan_packs
from registry_core.errors import IntegrityError, NotFound
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.push.packing import locations_in, named_pack
from registry_core.repair.look import Health, sound_bundle, sound_manifest
from registry_core.repair.packs import PackShelf
from registry_core.repair.sources import Source

T = TypeVar("T")
_FILES_NAMED = 5


@dataclass
class Healed:
    """What was put back, and what nobody has."""

    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Healer:
    """`sources` are asked in turn. Thread-confined."""

    def __init__(self, origin: Origin, shelf: PackShelf, sources: Sequence[Source]) -> None:
        self._origin = origin
        self._shelf = shelf
        self._sources = sources
        self._moved: dict[ChunkId, Location] = {}  # what this run put into other packs

    def heal_documents(self, health: Health, healed: Healed) -> None:
        """Manifest and bundle."""
        digest = health.digest
        if health.manifest is None:
            manifest, name = self._first(
                lambda source: sound_manifest(digest, source.manifest(digest))
            )
            if manifest is not None:
                self._origin.put(manifest_key(digest), manifest.encoded)
                healed.done.append(f"its manifest, from {name}")
            else:
                healed.lost.append("its manifest, without which nobody knows its chunks")
        if health.bundle is None:
            bundle, name = self._first(
                lambda source: sound_bundle(health.version, source.bundle(digest))
            )
            if bundle is not None:
                self._origin.put(bundle_key(digest), bundle)
                healed.done.append(f"its bundle, from {name}")
            else:
                healed.lost.append("its bundle, the publisher's signature")

    def heal_chunks(
        self, health: Health, manifest: Manifest, avoid: Collection[PackName], healed: Healed
    ) -> None:
        """Packs and hint. Packs in `avoid` are about to be deleted: nothing may count on them."""
        for name, places in health.lost_packs.items():
            self._heal_pack(health, manifest, name, places, healed)
        health.take(self._moved)
        dying: dict[ChunkId, Location] = {}
        if health.missing:
            found = dict(self._shelf.find(health.missing.keys(), avoid))
            dying = {chunk: place for chunk, place in found.items() if place.pack in avoid}
            health.take({chunk: place for chunk, place in found.items() if chunk not in dying})
        self._repack(health, manifest, avoid, dying, healed)
        if health.missing:
            healed.lost.append(_lost_chunks(manifest, health.missing))
        elif health.places != {chunk: health.hint.get(chunk) for chunk in health.places}:
            self._origin.put(hint_key(health.digest), encode_hint(health.places))
            healed.done.append("its hint, made anew")

    def _heal_pack(
        self, health: Health, manifest: Manifest, name: PackName,
        places: Mapping[ChunkId, Location], healed: Healed,
    ) -> None:  # fmt: skip
        pack, came_from = self._first(lambda source: _sound(source.pack(name), name.raw))
        if pack is None:
            pack, came_from = self._made_anew(manifest, name, places), "its chunks"
        if pack is not None:
            self._origin.put(pack_key(name), pack)
            self._shelf.changed(name)
            healed.done.append(f"{pack_key(name)}, from {came_from}")
            health.take(self._shelf.index(name) or {})

    def _first(self, get: Callable[[Source], T | None]) -> tuple[T | None, str]:
        """What the first source gives of which `get` gives anything, and the source's name."""
        for source in self._sources:
            found = get(source)
            if found is not None:
                return found, source.name
        return None, ""

    def _made_anew(
        self, manifest: Manifest, name: PackName, places: Mapping[ChunkId, Location]
    ) -> bytes | None:
        """The very pack, if all of its chunks are known and can be had."""
        index: Mapping[ChunkId, Location]
        try:
            index = self._shelf.read_index(name)
        except (NotFound, IntegrityError):
            index = places
        ordered = sorted(index.items(), key=lambda item: item[1].offset)
        pack = bytearray()
        for chunk_id, place in ordered:
            data = self._content(manifest, Chunk(chunk_id, place.length), place)
            if place.offset != len(pack) or data is None:
                return None
            pack += data
        pack += pack_trailer(Chunk(chunk_id, place.length) for chunk_id, place in ordered)
        return _sound(bytes(pack), name.raw)

    def _content(
        self, manifest: Manifest, chunk: Chunk, place: Location | None = None
    ) -> bytes | None:
        """A chunk's verified bytes: what a pack that does not count still has of it at `place`, or
        from a source."""
        if place is not None:
            data = self._shelf.read_chunk(chunk.id, place)
            if data is not None:
                return data
        data, _ = self._first(lambda source: _sound(source.chunk(manifest, chunk), chunk.id.raw))
        return data

    def _repack(
        self, health: Health, manifest: Manifest, avoid: Collection[PackName],
        dying: Mapping[ChunkId, Location], healed: Healed,
    ) -> None:  # fmt: skip
        """Missing chunks that can be had, into packs of their own."""
        doubtful = {
            c: place for places in health.lost_packs.values() for c, place in places.items()
        }
        doubtful |= dying
        for group in plan_packs(list(health.missing.values())):
            had: list[Chunk] = []
            content = bytearray()
            for chunk in group:
                data = self._content(manifest, chunk, doubtful.get(chunk.id))
                if data is not None:
                    had.append(chunk)
                    content += data
            if had:
                self._put_pack(had, content, avoid, health, healed)

    def _put_pack(
        self, chunks: list[Chunk], content: bytearray, avoid: Collection[PackName],
        health: Health, healed: Healed,
    ) -> None:  # fmt: skip
        named = named_pack(content + pack_trailer(chunks), chunks, avoid)
        if named is None:  # full, and its name is to be avoided
            half = len(chunks) // 2
            cut = sum(chunk.length for chunk in chunks[:half])
            self._put_pack(chunks[:half], content[:cut], avoid, health, healed)
            self._put_pack(chunks[half:], content[cut:], avoid, health, healed)
            return
        name, pack = named
        self._origin.put(pack_key(name), pack)
        self._shelf.changed(name)
        places = dict(locations_in(name, chunks))
        self._moved |= places
        health.take(places)
        healed.done.append(f"{len(chunks)} chunk(s), in a new pack {pack_key(name)}")


def _sound(data: bytes | None, expected: bytes) -> bytes | None:
    """`data` if its BLAKE3 is `expected`."""
    return data if data is not None and blake3(data).digest() == expected else None


def _lost_chunks(manifest: Manifest, missing: Mapping[ChunkId, Chunk]) -> str:
    files = [
        file.path for file in manifest.files if any(chunk.id in missing for chunk in file.chunks)
    ]
    count = sum(chunk.length for chunk in missing.values())
    shown = ", ".join(files[:_FILES_NAMED]) + (", …" if len(files) > _FILES_NAMED else "")
    return f"{len(missing)} chunk(s), {count} bytes, of {shown}"
