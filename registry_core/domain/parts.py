"""Marks: by them the beginning of a chunk is verified before all of it is there.

A chunk is cut into parts of `CHUNK_PART` bytes. For the end of each part but the last there is a
mark: the first `CHUNK_MARK` bytes of the BLAKE3 of the chunk up to there. Who hashes a chunk from
its start comes by them on the way. (BLAKE3 is a tree whose inner hashes would do, and would need no
list, but the `blake3` package does not give them.) Marks decide what may be passed on early; what a
chunk is, its id alone decides. To find other bytes for the mark of an honest publisher takes 2^64
tries, and gains some bytes that are sent in vain.
"""

from __future__ import annotations

from blake3 import blake3

from registry_core.domain import limits


def marks_length(chunk_bytes: int) -> int:
    """Bytes of the marks of a chunk of so many."""
    return (chunk_bytes - 1) // limits.CHUNK_PART * limits.CHUNK_MARK


def mark_of(hasher: blake3) -> bytes:
    """Of the bytes that it has been given."""
    return hasher.digest(limits.CHUNK_MARK)


def hashed_with_marks(chunk: memoryview) -> tuple[bytes, bytes]:
    """The BLAKE3 of the chunk, and its marks one after the other: hashed once."""
    hasher, marks, start = blake3(), bytearray(), 0
    while len(chunk) - start > limits.CHUNK_PART:
        hasher.update(chunk[start : start + limits.CHUNK_PART])
        marks += mark_of(hasher)
        start += limits.CHUNK_PART
    return hasher.update(chunk[start:]).digest(), bytes(marks)
