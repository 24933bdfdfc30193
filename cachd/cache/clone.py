"""Sharing blocks between two files of one filesystem (FICLONERANGE), where it can.

Only whole blocks can be shared, at offsets that are alike within a block: of a chunk its inner
blocks, while the bytes at its edges are copied. A crash leaves a chunk that is not marked.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Sequence
from contextlib import suppress

from cachd import limits
from cachd.cache.errors import disk_errors
from cachd.cache.index import Place
from cachd.cache.layout import Layout, write_all
from cachd.cache.partial import mark
from cachd.cache.verifier import Verifier
from registry_core.errors import IntegrityError

_FICLONERANGE = 0x4020940D
_RANGE = struct.Struct("@qQQQ")  # source descriptor, its offset, length, offset in the target


def clone_chunk(
    layout: Layout, source: Place, wanting: Sequence[Place], buffer: memoryview
) -> bool:
    """Share the chunk with all `wanting` places of one file, verify it there, and mark it. False:
    it has to be copied. `buffer` takes a chunk."""
    if any(_inner(source, place) is None for place in wanting):
        return False
    root = source.stored.root
    target = layout.partial(wanting[0].stored.root)
    with suppress(OSError, IntegrityError):
        path = layout.blob(root) if source.stored.complete else layout.partial(root)
        old = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            new = os.open(target, os.O_RDWR | os.O_CLOEXEC)
            try:
                for place in wanting:
                    _share(old, source, new, place)
                    _verify(new, place, buffer)
            finally:
                os.close(new)
        finally:
            os.close(old)
        with disk_errors("mark a chunk", target):
            mark(layout, wanting)
        return True
    return False


def _inner(source: Place, place: Place) -> tuple[int, int] | None:
    """The whole blocks within the chunk, from its start; None if there is nothing to share."""
    block = limits.DISK_BLOCK
    if (source.offset - place.offset) % block:
        return None
    begin = -place.offset % block
    end = (place.offset + place.chunk.length) // block * block - place.offset
    return (begin, end) if begin < end else None


def _share(old: int, source: Place, new: int, place: Place) -> None:
    inner = _inner(source, place)
    if inner is None:
        raise AssertionError("looked at before")
    begin, end = inner
    asked = _RANGE.pack(old, source.offset + begin, end - begin, place.offset + begin)
    fcntl.ioctl(new, _FICLONERANGE, asked)
    for first, last in ((0, begin), (end, place.chunk.length)):
        if first < last:
            edge = os.pread(old, last - first, source.offset + first)
            write_all(new, memoryview(edge), place.offset + first)


def _verify(descriptor: int, place: Place, buffer: memoryview) -> None:
    verifier, filled = Verifier(place.chunk, buffer), 0
    while filled < place.chunk.length:
        piece = buffer[filled : min(filled + limits.COPY_SLICE, place.chunk.length)]
        count = os.preadv(descriptor, [piece], place.offset + filled)
        if not count:
            raise IntegrityError("a file being filled is too short")
        filled += count
        verifier.advance(filled)
    verifier.finish()
