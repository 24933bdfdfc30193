"""Hash a file as the disk has it, not as memory remembers it.

Reading goes past the page cache (O_DIRECT): it finds what has rotted beneath cached pages, and
neither fills memory nor pushes out what is served. Where a filesystem cannot do that, it is read
as usual. Damage is told only when a second look finds it, too.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cachd import limits
from cachd.cache.verifier import Verifier
from registry_core.domain.limits import CHUNK_MAX
from registry_core.domain.manifest import Chunk
from registry_core.errors import IntegrityError


def damaged_chunks(path: Path, chunks: tuple[Chunk, ...], stop: threading.Event) -> list[int]:
    """Positions of the chunks that do not lie in the file as they should; not faster than
    `SCRUB_BYTES_PER_S`. FileNotFoundError if the file is gone. Stopped, it tells of a part only."""
    bad, offset = [], 0
    with mmap.mmap(-1, CHUNK_MAX + 2 * limits.DISK_BLOCK) as pages, _opened(path) as descriptor:
        buffer = memoryview(pages)
        try:
            for position, chunk in enumerate(chunks):
                if stop.wait(chunk.length / limits.SCRUB_BYTES_PER_S):
                    break
                args = (descriptor, buffer, offset, chunk)
                if not _sound(*args) and not _sound(*args):
                    bad.append(position)
                offset += chunk.length
        finally:
            buffer.release()
    return bad


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _past_the_page_cache(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _past_the_page_cache(descriptor: int) -> None:
    """From now on, if the filesystem can: tried with one block."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
        with mmap.mmap(-1, limits.DISK_BLOCK) as block:
            os.preadv(descriptor, [block], 0)
    except OSError:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)


def _sound(descriptor: int, buffer: memoryview, offset: int, chunk: Chunk) -> bool:
    """Reads whole blocks, as O_DIRECT demands, and hashes what is the chunk of them."""
    begin = offset - offset % limits.DISK_BLOCK
    end = -(-(offset + chunk.length) // limits.DISK_BLOCK) * limits.DISK_BLOCK
    filled = 0
    try:
        while begin + filled < offset + chunk.length:
            step = min(limits.COPY_SLICE, end - begin - filled)
            count = os.preadv(descriptor, [buffer[filled : filled + step]], begin + filled)
            if not count:
                return False
            filled += count
        Verifier(chunk, buffer[offset - begin :]).finish()
    except (OSError, IntegrityError):
        return False
    return True
