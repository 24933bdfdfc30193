"""Which file of a cache lies where, and the durable steps that all of it is made of.

blobs/<chunk root>           complete verified file, 0444, never changed again
partial/<chunk root>         sparse file being filled
partial/<chunk root>.have    one byte per chunk of the file: 1 = verified and written
documents/<digest>           manifest of a version; `.bundle` and `.packs` beside it
versions/<digest>/…          the version as programs read it: hard links to blobs, 0444 in 0555
condemned/<chunk root>.<…>   damaged file that a version or somebody else still has names of
tmp/                         whatever is not finished; emptied at start
lock                         held (flock) by the process that uses the cache

Digests and roots are 64 hex digits. Everything lies on one filesystem: files move by rename and
are shared by hard links.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cachd.cache.errors import NOT_THERE
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest

HEX64 = re.compile(r"[0-9a-f]{64}")
FILE_MODE = 0o444
FOLDER_MODE = 0o555


@dataclass(frozen=True)
class Layout:
    """The paths of a cache."""

    root: Path

    @cached_property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @cached_property
    def partials(self) -> Path:
        return self.root / "partial"

    @cached_property
    def documents(self) -> Path:
        return self.root / "documents"

    @cached_property
    def versions(self) -> Path:
        return self.root / "versions"

    @cached_property
    def condemned(self) -> Path:
        return self.root / "condemned"

    @cached_property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @cached_property
    def lock(self) -> Path:
        return self.root / "lock"

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """All of them, the outermost first."""
        return (
            self.root, self.blobs, self.partials, self.documents, self.versions, self.condemned,
            self.tmp,
        )  # fmt: skip

    def blob(self, chunk_root: bytes) -> Path:
        return self.blobs / chunk_root.hex()

    def partial(self, chunk_root: bytes) -> Path:
        return self.partials / chunk_root.hex()

    def have(self, chunk_root: bytes) -> Path:
        return self.partials / f"{chunk_root.hex()}.have"

    def version(self, digest: Digest) -> Path:
        return self.versions / digest.hex

    def make(self) -> None:
        """Make the folders that are missing, durably."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
        sync_folder(self.root)


def sync_folder(path: Path) -> None:
    """Make renames and links in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes, tmp: Path) -> None:
    """Write a whole small file: after a crash it is wholly there, or as it was before."""
    aside = tmp / f"{path.name}.{os.urandom(8).hex()}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, memoryview(data), 0)
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    aside.rename(path)
    sync_folder(path.parent)


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """pwrite until nothing is left."""
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


def remove_tree(path: Path) -> None:
    """Remove a folder whose folders may be read-only. One that is not there is fine."""
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=False) if path.is_dir() else None


def is_file(path: Path, size: int) -> bool:
    """Whether a regular file of exactly this size is there."""
    try:
        state = path.lstat()
    except NOT_THERE:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size


def has_files(folder: Path, manifest: Manifest) -> bool:
    """Whether each file of the version is there, by its size."""
    return all(is_file(folder / file.path, file.size) for file in manifest.files)
