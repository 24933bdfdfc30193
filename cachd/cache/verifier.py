"""The only place where bytes become trusted: BLAKE3 of a chunk against its id.

`VerifiedChunk` can be made here and nowhere else, and the cache stores nothing else. Whoever
holds one must leave its buffer alone until it is stored. Hashing releases the GIL; each verifier
belongs to one thread.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from cachd import limits
from registry_core.domain.limits import CHUNK_MARK, CHUNK_PART
from registry_core.domain.manifest import Chunk
from registry_core.domain.parts import mark_of
from registry_core.errors import IntegrityError

_MAKER: Final = object()


class VerifiedChunk:
    """A chunk and its bytes, whose BLAKE3 has been compared with the chunk's id."""

    __slots__ = ("chunk", "data")

    def __init__(self, chunk: Chunk, data: memoryview, maker: object) -> None:
        if maker is not _MAKER:
            raise TypeError("a VerifiedChunk comes from cachd.cache.verifier only")
        self.chunk: Final = chunk
        self.data: Final = data


class Verifier:
    """Hashes a chunk as it arrives in `buffer`, while it is still hot in the processor's cache."""

    def __init__(self, chunk: Chunk, buffer: memoryview) -> None:
        if len(buffer) < chunk.length:
            raise ValueError(f"a chunk of {chunk.length} bytes does not fit {len(buffer)}")
        self._chunk = chunk
        self._data = buffer[: chunk.length].toreadonly()
        self._hasher = blake3()
        self._hashed = 0

    def advance(self, filled: int) -> None:
        """The first `filled` bytes of the buffer are there, and will not change any more."""
        while filled - self._hashed >= limits.HASH_SLICE:
            self._take(limits.HASH_SLICE)

    def finish(self) -> VerifiedChunk:
        """The whole chunk is there: IntegrityError unless it is the right one."""
        while self._hashed < self._chunk.length:
            self._take(min(limits.HASH_SLICE, self._chunk.length - self._hashed))
        actual = self._hasher.digest()
        if actual != self._chunk.id.raw:
            raise IntegrityError(
                "a chunk's bytes are not what its id says",
                expected=self._chunk.id.hex,
                actual=actual.hex(),
            )
        return VerifiedChunk(self._chunk, self._data, _MAKER)

    def _take(self, count: int) -> None:
        self._hasher.update(self._data[self._hashed : self._hashed + count])
        self._hashed += count


class PartVerifier(Verifier):
    """Of a chunk that has marks. `proven`: of its beginning, the bytes that a mark has proven
    right; no more of them once one is wrong, though the chunk's id may still say otherwise."""

    def __init__(self, chunk: Chunk, buffer: memoryview) -> None:
        super().__init__(chunk, buffer)
        self.proven = 0
        self._marks = chunk.marks

    def advance(self, filled: int) -> None:
        while self._marks and filled - self._hashed >= CHUNK_PART:
            self._take(CHUNK_PART)
            mark, self._marks = self._marks[:CHUNK_MARK], self._marks[CHUNK_MARK:]
            if mark_of(self._hasher) == mark:
                self.proven = self._hashed
            else:
                self._marks = b""
        if not self._marks:
            super().advance(filled)


def verify(chunk: Chunk, buffer: bytes | bytearray | memoryview) -> VerifiedChunk:
    """`buffer` as `chunk`, or IntegrityError. It must have exactly the chunk's length."""
    view = memoryview(buffer)
    if len(view) != chunk.length:
        raise IntegrityError(
            f"chunk {chunk.id} has the wrong length",
            expected=f"{chunk.length} bytes",
            actual=f"{len(view)} bytes",
        )
    return Verifier(chunk, view).finish()
