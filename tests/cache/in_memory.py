"""Files brought into memory, dropped from it, and measured, as tests need it."""

from __future__ import annotations

import os
from pathlib import Path

from cachd.cache.libc import ReadOnlyMap


def bring(folder: Path) -> None:
    """All files of a folder. Through a map: what read(2) needs of a page may be less than all."""
    for file in _files(folder):
        with ReadOnlyMap(file) as mapped:
            bytes(mapped.view(0, mapped.size))


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
