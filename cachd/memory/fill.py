"""Bring the bytes of a held version into memory, hashed on their way in.

What may be locked is locked before it is hashed: so the very pages that were hashed are those that
stay. Threads are few, and as low in priority as the one that calls; every call returns soon after
`cancel` is set.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from cachd import limits
from cachd.cache.libc import ReadOnlyMap
from cachd.cache.pace import UNPACED, Pace
from cachd.cache.verifier import verify
from cachd.memory.errors import MemoryNotLocked
from cachd.memory.held import Held
from cachd.memory.locking import LockMemory
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.errors import IntegrityError

_Span = list[tuple[int, Chunk]]


@dataclass(slots=True)
class Filled:
    """`damaged`: paths within the version. `bytes_brought`: what was not in memory before, where
    only that was asked for. `refused`: why pages could not be locked."""

    damaged: list[str]
    bytes_brought: int = 0
    refused: str = ""


def fill(
    held: Held,
    manifest: Manifest,
    cancel: threading.Event,
    *,
    lock: LockMemory,
    hashed: bool,
    missing_only: bool = False,
    pace: Pace = UNPACED,
) -> Filled:
    """All of a version; with `missing_only` the chunks of which pages are lacking. A cancelled run
    tells of a part only. MemoryNotLocked, if everything must be locked."""
    if missing_only:  # known before anything is read, for the kernel reads ahead
        lock, parts = LockMemory.NEVER, _lacking(held, manifest)
    else:
        parts = [(file, span) for file in manifest.files for span in _spans(file)]
    work = _Work(held, cancel, lock, hashed, pace)
    with ThreadPoolExecutor(limits.DISK_THREADS, "cachd-fill") as pool:
        sound = list(pool.map(lambda part: work.do(*part), parts))
    if lock is LockMemory.ALWAYS and work.refused:
        raise MemoryNotLocked(
            f"pages of a version could not be locked ({work.refused}): give this process "
            "CAP_IPC_LOCK or more of RLIMIT_MEMLOCK, or say --lock-memory auto"
        )
    damaged = {file.path for (file, _), ok in zip(parts, sound, strict=True) if not ok}
    brought = sum(chunk.length for _, span in parts for _, chunk in span) if missing_only else 0
    return Filled(sorted(damaged), brought, work.refused)


class _Work:
    """What the threads of one `fill` share."""

    def __init__(
        self,
        held: Held,
        cancel: threading.Event,
        lock: LockMemory,
        hashed: bool,
        pace: Pace,
    ) -> None:
        self._held, self._cancel = held, cancel
        self._pace = pace
        self._locks = lock is not LockMemory.NEVER
        self._hashed = hashed
        self.refused = ""

    def do(self, file: ModelFile, span: _Span) -> bool:
        """False: the file is damaged, or cannot be read."""
        try:
            with self._mapped(file) as mapped:
                if mapped.size != file.size:
                    return False
                for offset, chunk in span:
                    if self._cancel.is_set():
                        return True
                    with self._pace.piece():
                        self._bring(mapped, offset, chunk)
        except (OSError, IntegrityError):
            return False
        return True

    def _bring(self, mapped: ReadOnlyMap, offset: int, chunk: Chunk) -> None:
        if self._locks:
            self._lock_pages(mapped, offset, chunk.length)
        brought = mapped.populate(offset, chunk.length)
        if self._hashed or not brought:  # before Linux 5.14 reading them is what brings them
            verify(chunk, mapped.view(offset, chunk.length))

    def _lock_pages(self, mapped: ReadOnlyMap, offset: int, length: int) -> None:
        try:
            mapped.lock(offset, length)
            self._held.count_locked(length)
        except OSError as error:  # by its limit; a page that cannot be read fails to populate, too
            self._locks, self.refused = False, error.strerror or "refused"

    @contextmanager
    def _mapped(self, file: ModelFile) -> Iterator[ReadOnlyMap]:
        held = self._held.map_of(file)
        if held is not None:
            yield held
            return
        with ReadOnlyMap(self._held.folder / file.path) as mapped:
            yield mapped


def _lacking(held: Held, manifest: Manifest) -> list[tuple[ModelFile, _Span]]:
    """The chunks of which pages are not in memory, one by one."""
    found: list[tuple[ModelFile, _Span]] = []
    for file in manifest.files:
        mapped = held.map_of(file)
        if mapped is None:
            continue
        for offset, chunk in file.placed_chunks():
            there, pages = mapped.resident_pages(offset, chunk.length)
            if there < pages:
                found.append((file, [(offset, chunk)]))
    return found


def _spans(file: ModelFile) -> list[_Span]:
    """A file's chunks in as many parts as there are threads, so that one big file uses all."""
    placed = list(file.placed_chunks())
    step = max(1, -(-len(placed) // limits.DISK_THREADS))
    return [placed[at : at + step] for at in range(0, len(placed), step)] or [[]]
