"""A file being filled: sparse bytes, and beside them one byte per chunk that tells what is there.

Bytes are written before the chunk is marked, and neither is synced while filling, so after power
loss a mark may be there without its bytes: on reopening, every marked chunk is hashed again
before it counts. Any thread may write; two may even write the same chunk, as both write the same.
Files are opened for each write: a version can have more files than a process may have open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cachd.cache.audit import Reading
from cachd.cache.errors import disk_errors
from cachd.cache.index import Place
from cachd.cache.layout import Layout, write_all
from cachd.cache.libc import start_writeback
from cachd.cache.verifier import VerifiedChunk
from registry_core.domain.manifest import ModelFile


def open_partial(layout: Layout, file: ModelFile) -> bytearray:
    """Make or reopen the partial of `file`; what it claims to have, not yet believed."""
    path, marks = layout.partial(file.chunk_root), layout.have(file.chunk_root)
    with disk_errors("make room for a file", path), _opened(path) as descriptor:
        os.ftruncate(descriptor, file.size)
    with disk_errors("make room for a file", marks), _opened(marks) as descriptor:
        claimed = bytearray(os.pread(descriptor, len(file.chunks) + 1, 0))
        if len(claimed) != len(file.chunks) or not set(claimed) <= {0, 1}:
            claimed = bytearray(len(file.chunks))
            os.ftruncate(descriptor, 0)
            write_all(descriptor, memoryview(claimed), 0)
    return claimed


def readings(path: Path, file: ModelFile, have: Sequence[int]) -> Iterator[Reading]:
    """What has to be hashed to believe `have`."""
    for position, (offset, chunk) in enumerate(file.placed_chunks()):
        if have[position]:
            yield Reading(path, offset, chunk, (file.chunk_root, position))


def unmark(layout: Layout, chunk_root: bytes, position: int) -> None:
    """A marked chunk turned out damaged: it counts as missing."""
    marks = layout.have(chunk_root)
    with disk_errors("mark a chunk", marks), _opened(marks) as descriptor:
        write_all(descriptor, memoryview(b"\0"), position)


def write_chunk(layout: Layout, verified: VerifiedChunk, wanting: Sequence[Place]) -> None:
    """Write a verified chunk at all `wanting` places of one file, then mark it there."""
    root = wanting[0].stored.root
    path, marks = layout.partial(root), layout.have(root)
    with disk_errors("write a chunk", path), _opened(path, create=False) as descriptor:
        for place in wanting:
            write_all(descriptor, verified.data, place.offset)
            start_writeback(descriptor, place.offset, len(verified.data))
    with disk_errors("mark a chunk", marks):
        mark(layout, wanting)


def mark(layout: Layout, written: Sequence[Place]) -> None:
    """These places of one file hold their chunk now."""
    with _opened(layout.have(written[0].stored.root), create=False) as descriptor:
        for place in written:
            write_all(descriptor, memoryview(b"\1"), place.position)


@contextmanager
def _opened(path: Path, *, create: bool = True) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
