"""Hash again what lies on disk: marked chunks of a partial, files of a version.

Threads share one iterator of readings; memory is one buffer per thread however much is read.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cachd import limits
from cachd.cache.layout import is_file
from cachd.cache.verifier import Verifier
from registry_core.domain.limits import CHUNK_MAX
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Reading:
    """`chunk` should lie at `offset` of the file at `path`. `key` is the caller's."""

    path: Path
    offset: int
    chunk: Chunk
    key: tuple[bytes, int]


def damaged(readings: Iterable[Reading], cancel: threading.Event | None = None) -> list[Reading]:
    """Those that are not there as they should be. A cancelled run tells of a part only."""
    shared = _Shared(iter(readings), cancel)
    with ThreadPoolExecutor(limits.DISK_THREADS, "cachd-audit") as pool:
        parts = [pool.submit(_check_many, shared) for _ in range(limits.DISK_THREADS)]
        return [reading for part in parts for reading in part.result()]


class _Shared:
    """One iterator for several threads. `lock` guards it."""

    def __init__(self, readings: Iterator[Reading], cancel: threading.Event | None) -> None:
        self._lock = threading.Lock()
        self._readings = readings
        self._cancel = cancel

    def take(self) -> Reading | None:
        if self._cancel is not None and self._cancel.is_set():
            return None
        with self._lock:
            return next(self._readings, None)


def _check_many(shared: _Shared) -> list[Reading]:
    bad: list[Reading] = []
    buffer = memoryview(mmap.mmap(-1, CHUNK_MAX))  # pages come only as chunks need them
    open_path, descriptor = None, -1
    try:
        while (reading := shared.take()) is not None:
            if reading.path != open_path:
                if descriptor >= 0:
                    os.close(descriptor)
                open_path, descriptor = reading.path, _open(reading.path)
            if descriptor < 0 or not _sound(descriptor, reading, buffer):
                bad.append(reading)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return bad


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _sound(descriptor: int, reading: Reading, buffer: memoryview) -> bool:
    verifier, filled = Verifier(reading.chunk, buffer), 0
    try:
        while filled < reading.chunk.length:
            step = min(limits.COPY_SLICE, reading.chunk.length - filled)
            count = os.preadv(descriptor, [buffer[filled : filled + step]], reading.offset + filled)
            if not count:
                return False
            filled += count
            verifier.advance(filled)
        verifier.finish()
    except (OSError, IntegrityError):
        return False
    return True


def damaged_files(
    manifest: Manifest, folder: Path, cancel: threading.Event | None = None
) -> list[str]:
    """Paths (in the version) of the files in `folder` that are not as the manifest says."""
    by_key = {(file.chunk_root, n): file.path for n, file in enumerate(manifest.files)}
    bad = {file.path for file in manifest.files if not is_file(folder / file.path, file.size)}
    checks = (
        Reading(folder / file.path, offset, chunk, (file.chunk_root, n))
        for n, file in enumerate(manifest.files)
        if file.path not in bad
        for offset, chunk in file.placed_chunks()
    )
    bad.update(by_key[reading.key] for reading in damaged(checks, cancel))
    return sorted(bad)
