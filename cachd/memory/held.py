"""The files of one version, mapped for as long as it must stay in memory.

A map keeps the kernel from taking the pages for unused, and locked pages from leaving at all.
Any thread may call; `_lock` guards the maps against `close`, which may come at any time.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cachd import limits
from cachd.cache.errors import NOT_THERE, disk_errors
from cachd.cache.libc import ReadOnlyMap
from registry_core.domain.manifest import Manifest, ModelFile


@dataclass(frozen=True, slots=True)
class Measured:
    """Pages, as mincore tells: `there` of `looked` at; of large versions a sample is looked at."""

    there: int
    looked: int

    @property
    def share(self) -> float:
        return self.there / self.looked if self.looked else 1.0


class Held:
    """A version with very many files holds the largest; the others are populated, and no more. Nor
    is a file held that is not there: `fill` tells of it."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.bytes = manifest.size
        self.locked_bytes = 0
        self._lock = threading.Lock()
        self._maps: dict[str, ReadOnlyMap] = {}
        largest = sorted((f for f in manifest.files if f.size), key=lambda f: -f.size)
        self.held_bytes = sum(f.size for f in largest[: limits.MAPS_PER_VERSION_MAX])
        try:
            for file in largest[: limits.MAPS_PER_VERSION_MAX]:
                with disk_errors("map a file", folder / file.path), suppress(*NOT_THERE):
                    self._maps[file.path] = ReadOnlyMap(folder / file.path)
        except BaseException:
            self.close()
            raise

    @property
    def locked(self) -> bool:
        """All that is held, and so cannot be reclaimed."""
        return self.locked_bytes >= self.held_bytes

    def map_of(self, file: ModelFile) -> ReadOnlyMap | None:
        """While it is being filled: nobody closes it then."""
        return self._maps.get(file.path)

    def count_locked(self, length: int) -> None:
        with self._lock:
            self.locked_bytes += length

    def unlock(self) -> None:
        """Pages may be reclaimed again. Not for the event loop."""
        with self._lock:
            self.locked_bytes = 0
            for mapped in self._maps.values():
                mapped.unlock()

    def measure(self, rng: Random) -> Measured:
        """How much of what is held is in memory. Bounded work, in steps between which it can be
        closed; not for the event loop."""
        steps = [
            (mapped, offset)
            for mapped in list(self._maps.values())
            for offset in range(0, mapped.size, limits.MEASURE_STEP)
        ]
        if len(steps) > limits.MEASURE_STEPS_MAX:
            every = len(steps) / limits.MEASURE_STEPS_MAX
            first = rng.random() * every
            steps = [steps[int(first + n * every)] for n in range(limits.MEASURE_STEPS_MAX)]
        there = looked = 0
        for mapped, offset in steps:
            with self._lock:
                if not self._maps:
                    break
                found, pages = mapped.resident_pages(offset, limits.MEASURE_STEP)
            there, looked = there + found, looked + pages
        return Measured(there, looked)

    def close(self) -> None:
        """Pages may be reclaimed from here on, unless others hold them. Not for the event loop:
        unlocking takes a while."""
        with self._lock:
            maps, self._maps = self._maps, {}
            self.locked_bytes = 0
            for mapped in maps.values():
                mapped.close()
