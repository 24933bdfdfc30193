"""Files held in memory, dropped from it, and measured, as tests need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cachd.cache.libc import ReadOnlyMap


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """All files of a folder in memory, and locked there: a kernel short of it drops them not."""
    with ExitStack() as maps:
        for file in _files(folder):
            mapped = maps.enter_context(ReadOnlyMap(file))
            mapped.lock(0, mapped.size)
        yield


def forget(file: Path) -> None:
    """Have the kernel drop the pages of a file."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident_fraction(path: Path) -> float:
    """How much of the files at or under `path` is in memory, 0 to 1, as the kernel tells now."""
    there = pages = 0
    for file in _files(path):
        with ReadOnlyMap(file) as mapped:
            found, looked = mapped.resident_pages()
        there, pages = there + found, pages + looked
    return there / pages


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
