"""One plain file, populated as a node populates a version.

The plain loop is to differ from ours in what ours adds, which is hashing and publishing. So both
bring pages in by as many threads, chunk by chunk, and both keep them mapped: what is resident stays
mapped, and unmapping it is no part of getting there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cachd import limits
from cachd.cache.libc import ReadOnlyMap
from registry_core.domain.chunking import chunk_bytes_for, cut_fixed


def populated(path: Path) -> ReadOnlyMap:
    """The file's map, all of it in memory; the caller closes it."""
    mapped = ReadOnlyMap(path)
    spans = list(cut_fixed(0, mapped.size, chunk_bytes_for(mapped.size)))
    step = -(-len(spans) // limits.DISK_THREADS)

    def bring(part: Sequence[tuple[int, int]]) -> None:
        for start, end in part:
            if not mapped.populate(start, end - start):
                bytes(mapped.view(start, end - start))  # before Linux 5.14

    try:
        with ThreadPoolExecutor(limits.DISK_THREADS) as pool:
            list(pool.map(bring, [spans[at : at + step] for at in range(0, len(spans), step)]))
    except BaseException:
        mapped.close()
        raise
    return mapped
