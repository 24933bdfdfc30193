"""Which of a version's distinct chunks are held, kept up to date chunk by chunk: to go through all
of them each time that one came would grow with the square. Every call is made under the cache's
lock."""

from __future__ import annotations

from dataclasses import dataclass

from cachd.cache.index import Index
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Manifest


@dataclass(slots=True)
class _Bitmap:
    generation: int
    seen: int
    """Of what the index gained within that generation."""
    numbers: dict[ChunkId, int]
    bits: bytearray
    encoded: bytes


class HeldBitmaps:
    def __init__(self, index: Index) -> None:
        self._index = index
        self._bitmaps: dict[Digest, _Bitmap] = {}

    def of(self, manifest: Manifest) -> bytes:
        """One bit per unique chunk, least significant first: 1 where some place holds it."""
        bitmap = self._bitmaps.get(manifest.digest)
        if bitmap is None or bitmap.generation != self._index.generation:
            bitmap = self._bitmaps[manifest.digest] = self._made(manifest)
        elif bitmap.seen < len(self._index.gained):
            for chunk_id in self._index.gained[bitmap.seen :]:
                number = bitmap.numbers.get(chunk_id)
                if number is not None:
                    bitmap.bits[number >> 3] |= 1 << (number & 7)
            bitmap.seen, bitmap.encoded = len(self._index.gained), bytes(bitmap.bits)
        return bitmap.encoded

    def forget(self, digest: Digest) -> None:
        self._bitmaps.pop(digest, None)

    def _made(self, manifest: Manifest) -> _Bitmap:
        bits = bytearray((len(manifest.unique_chunks) + 7) // 8)
        lacking: dict[ChunkId, int] = {}
        for number, chunk_id in enumerate(manifest.unique_chunks):
            if self._index.holding(chunk_id) is None:
                lacking[chunk_id] = number
            else:
                bits[number >> 3] |= 1 << (number & 7)
        seen = len(self._index.gained)
        return _Bitmap(self._index.generation, seen, lacking, bits, bytes(bits))
