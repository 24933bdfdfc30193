"""How much of the disk a cache uses, and how much more it may.

Counted are blocks (`st_blocks`), each inode once: a sparse partial counts what was written to it, a
version's directory its folders, since its files are names of blobs. A file that others than this
cache have names of stays on the disk when the cache drops it: so the cache keeps its own name, and
goes on counting it, until it is the last.

Each change of the disk is measured where it happens, or before the next look where chunks are
written, so that a look costs a few system calls whatever the cache holds; a start counts anew. What
a version that is being filled will still take is promised to it beforehand: so several at once do
not exceed the quota together.

Any thread may call; `_lock` guards all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from cachd import limits
from cachd.cache.errors import CacheNoRoom
from cachd.cache.layout import Layout
from cachd.cache.leaving import LeavingFiles
from cachd.cache.quota import Quota
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest, ModelFile

Key = bytes | Path
"""A file by its chunk root, all else by its path."""


class Space:
    """`quota` None: whatever the disk can take."""

    def __init__(self, layout: Layout, quota: Quota | None, leaving: LeavingFiles) -> None:
        self._layout = layout
        self._leaving = leaving
        self._quota = quota
        self._lock = threading.Lock()
        self._bytes: dict[Key, int] = {}
        self._total = 0
        self._promised: dict[Digest, Mapping[Key, int]] = {}
        self._written: set[bytes] = set()

    # Measuring

    def measure_file(self, root: bytes) -> None:
        """A file was written, renamed or removed."""
        paths = (self._layout.blob(root), self._layout.partial(root), self._layout.have(root))
        with self._lock:
            self._put(root, sum(on_disk(path) for path in paths))

    def written(self, root: bytes) -> None:
        """A chunk was written: measured once somebody looks, which is seldomer than chunks come."""
        with self._lock:
            self._written.add(root)

    def measure_documents(self, digest: Digest, paths: Iterable[Path]) -> None:
        with self._lock:
            self._put(self._layout.documents / digest.hex, sum(on_disk(path) for path in paths))

    def measure_version(self, digest: Digest, strays: int = 0) -> None:
        """A version's directory was made or removed. `strays`: bytes of files in it that have no
        other name in this cache."""
        path = self._layout.version(digest)
        folders = sum(on_disk(Path(at)) for at, _, _ in os.walk(path))
        with self._lock:
            self._put(path, folders + strays)

    def measure_aside(self, path: Path) -> None:
        """A damaged file was put aside, or is gone now."""
        with self._lock:
            self._put(path, on_disk(path))

    # Looking

    def used(self) -> int:
        """Bytes on the disk."""
        self._catch_up()
        folders = self._folders()
        with self._lock:
            return self._total + folders

    def promised(self) -> int:
        """Bytes that versions being filled will still take."""
        self._catch_up()
        with self._lock:
            return self._still_to_come()

    def limit(self) -> int | None:
        """The quota; less, where the disk has not as much left. None: no quota."""
        if self._quota is None:
            return None
        disk = os.statvfs(self._layout.root)
        whole = disk.f_frsize * disk.f_blocks
        left = disk.f_frsize * disk.f_bavail - int(whole * limits.DISK_KEPT_FREE)
        left += self._leaving.bytes
        return max(0, min(self._quota.of(whole), self.used() + left))

    def own_bytes(self, digest: Digest) -> int:
        """Of a version's documents and folders."""
        with self._lock:
            return self._bytes.get(self._layout.documents / digest.hex, 0) + self._bytes.get(
                self._layout.version(digest), 0
            )

    def file_bytes(self, root: bytes) -> int:
        self._catch_up()
        with self._lock:
            return self._bytes.get(root, 0)

    # Promising

    def lacking(self, manifest: Manifest, files: Iterable[ModelFile]) -> int:
        """Bytes that a version still takes, of which `files` are not complete."""
        self._catch_up()
        with self._lock:
            return self._not_there(self._takes(manifest, files))

    def promise(self, digest: Digest, manifest: Manifest, files: Iterable[ModelFile]) -> None:
        """Set aside what the version still takes, until `settle`. CacheNoRoom beyond the limit."""
        takes, limit, folders = self._takes(manifest, files), self.limit(), self._folders()
        with self._lock:
            used = self._total + folders
            before = self._promised.pop(digest, None)
            coming, promised = self._not_there(takes), self._still_to_come()
            if limit is not None and coming and used + promised + coming > limit:
                if before is not None:
                    self._promised[digest] = before
                raise CacheNoRoom(digest, coming, max(0, limit - used - promised), limit)
            self._promised[digest] = takes

    def settle(self, digest: Digest) -> None:
        """Nothing is written to this version any more."""
        with self._lock:
            self._promised.pop(digest, None)

    # Inside

    def _catch_up(self) -> None:
        with self._lock:
            written, self._written = self._written, set()
        for root in written:
            self.measure_file(root)

    def _takes(self, manifest: Manifest, files: Iterable[ModelFile]) -> dict[Key, int]:
        """The most that will be on the disk of what is not whole yet, by key."""
        takes: dict[Key, int] = {file.chunk_root: _footprint(file) for file in files}
        names = blocks(limits.FOLDER_ENTRY * len(manifest.files))
        version = self._layout.version(manifest.digest)
        if not version.is_dir():
            parents = {parent for file in manifest.files for parent in Path(file.path).parents}
            takes[version] = names + limits.DISK_BLOCK * len(parents)
        documents = self._layout.documents / manifest.digest.hex
        if not documents.exists():
            # the bundle grows with the files, the hint with the chunks, as the manifest does
            takes[documents] = 2 * blocks(len(manifest.encoded)) + names + 4 * limits.DISK_BLOCK
        return takes

    def _folders(self) -> int:
        return sum(on_disk(folder) for folder in self._layout.folders)

    def _not_there(self, takes: Mapping[Key, int]) -> int:
        return sum(max(0, size - self._bytes.get(key, 0)) for key, size in takes.items())

    def _still_to_come(self) -> int:
        together: dict[Key, int] = {}
        for takes in self._promised.values():
            together.update(takes)
        return self._not_there(together)

    def _put(self, key: Key, size: int) -> None:
        self._total += size - self._bytes.pop(key, 0)
        if size:
            self._bytes[key] = size


def on_disk(path: Path) -> int:
    """Bytes that the file or folder takes; 0 if it is not there."""
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


def blocks(size: int) -> int:
    return -(-size // limits.DISK_BLOCK) * limits.DISK_BLOCK


def _footprint(file: ModelFile) -> int:
    """Of a file while it is filled: its bytes, its marks, and what the filesystem notes of both."""
    extents = limits.DISK_BLOCK * (1 + len(file.chunks) // limits.EXTENTS_PER_BLOCK)
    return blocks(file.size) + blocks(len(file.chunks)) + extents + limits.FOLDER_ENTRY
