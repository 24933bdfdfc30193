"""Bring a version's bytes into memory before anybody waits for them, and tell how much is there.

After a fetch the bytes were verified as they came, and `populate` is enough. After a start they
come from a disk that may have changed them: `populate_verified` hashes them on the way in.
Threads are few and bounded; every call returns soon after `cancel` is set.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cachd import limits
from cachd.cache.errors import disk_errors
from cachd.cache.libc import ReadOnlyMap
from cachd.cache.verifier import verify
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.errors import IntegrityError

Span = list[tuple[int, Chunk]]
"""(offset in the file, chunk), in order."""


def populate(path: Path, cancel: threading.Event | None = None) -> int:
    """Read all files at or under `path` into memory; the bytes that were brought in."""
    with ThreadPoolExecutor(limits.DISK_THREADS, "cachd-populate") as pool:
        return sum(pool.map(lambda file: _populate_file(file, cancel), _files(path)))


def populate_verified(
    manifest: Manifest, folder: Path, cancel: threading.Event | None = None
) -> list[str]:
    """The same for a version, hashing every byte on its way in; the paths that are damaged.

    A cancelled run tells of a part only.
    """
    spans = [(file, span) for file in manifest.files for span in _spans(file)]
    with ThreadPoolExecutor(limits.DISK_THREADS, "cachd-populate") as pool:
        sound = pool.map(lambda part: _sound(folder, part[0], part[1], cancel), spans)
        bad = {file.path for (file, _), ok in zip(spans, sound, strict=True) if not ok}
    return sorted(bad)


def resident_fraction(path: Path) -> float:
    """How much of the files at or under `path` is in memory, 0 to 1, as the kernel tells now."""
    resident = pages = 0
    for file in _files(path):
        with disk_errors("measure a file", file), ReadOnlyMap(file) as mapped:
            there, all_of_it = mapped.resident_pages()
            resident, pages = resident + there, pages + all_of_it
    return resident / pages if pages else 1.0


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    return [Path(at) / name for at, _, names in os.walk(path) for name in sorted(names)]


def _populate_file(path: Path, cancel: threading.Event | None) -> int:
    with disk_errors("read a file into memory", path), ReadOnlyMap(path) as mapped:
        for offset in range(0, mapped.size, limits.POPULATE_STEP):
            if cancel is not None and cancel.is_set():
                return offset
            if not mapped.populate(offset, limits.POPULATE_STEP):
                _read_through(path)
                break
        return mapped.size


def _read_through(path: Path) -> None:
    """For kernels before 5.14: reading brings the pages in as well, at the price of a copy."""
    buffer = bytearray(limits.COPY_SLICE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _spans(file: ModelFile) -> list[Span]:
    """A file's chunks in as many parts as there are threads, so that one big file uses all."""
    placed = list(file.placed_chunks())
    step = max(1, -(-len(placed) // limits.DISK_THREADS))
    return [placed[at : at + step] for at in range(0, len(placed), step)] or [[]]


def _sound(folder: Path, file: ModelFile, span: Span, cancel: threading.Event | None) -> bool:
    try:
        with ReadOnlyMap(folder / file.path) as mapped:
            if mapped.size != file.size:
                return False
            for offset, chunk in span:
                if cancel is not None and cancel.is_set():
                    return True
                mapped.populate(offset, chunk.length)
                verify(chunk, mapped.view(offset, chunk.length))
    except (OSError, IntegrityError):
        return False
    return True
