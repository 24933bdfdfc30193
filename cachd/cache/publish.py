"""Complete files become blobs, and blobs an immutable version directory.

Order, each step durable before the next: bytes, mode, rename to `blobs/`; a folder of hard links
in `tmp/`; rename to `versions/`. So after a crash a version is wholly there or not at all, and a
name in `blobs/` always stands for complete bytes. Called by one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cachd.cache.errors import NOT_THERE, disk_errors
from cachd.cache.index import StoredFile
from cachd.cache.layout import FILE_MODE, FOLDER_MODE, Layout, is_file, sync_folder
from registry_core.domain.manifest import Manifest, ModelFile


def sync_partial(layout: Layout, stored: StoredFile) -> None:
    """Make a complete partial durable and read-only, still under its old name."""
    path = layout.partial(stored.root)
    with disk_errors("finish a file", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def rename_to_blob(layout: Layout, stored: StoredFile) -> None:
    """Give a synced file its final name. Fast: called under the cache's lock."""
    path = layout.partial(stored.root)
    with disk_errors("publish a file", path):
        path.rename(layout.blob(stored.root))
        layout.have(stored.root).unlink(missing_ok=True)


def build_version(layout: Layout, manifest: Manifest) -> Path:
    """Make `versions/<digest>` of blobs that are all there; returns it."""
    final = layout.version(manifest.digest)
    aside = layout.tmp / f"{manifest.digest.hex}.{os.urandom(8).hex()}"
    with disk_errors("publish a version", final):
        sync_folder(layout.blobs)
        aside.mkdir()
        folders = {aside}
        for file in manifest.files:
            target = aside / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            folders.update(p for p in target.parents if p.is_relative_to(aside))
            _make(layout, file, target)
        for folder in sorted(folders, reverse=True):
            if folder != aside:
                folder.chmod(FOLDER_MODE)
            sync_folder(folder)
        aside.rename(final)
        final.chmod(FOLDER_MODE)  # after the rename, which needs a writable folder
        sync_folder(layout.versions)
    return final


def replace_files(layout: Layout, manifest: Manifest) -> None:
    """Files of a visible version that are lost, or not the blobs of today, are replaced by these,
    one by one.

    The old inode lives on in whoever has it open. A crash leaves old and new files side by side,
    each of them whole.
    """
    version = layout.version(manifest.digest)
    for file in manifest.files:
        path, blob = version / file.path, layout.blob(file.chunk_root)
        aside = layout.tmp / f"{blob.name}.{os.urandom(8).hex()}"
        with disk_errors("mend a version", path):
            there = same_file(path, blob) if file.chunks else is_file(path, 0)
            if there:
                continue
            _make(layout, file, aside)
            _make_folder(version, path.parent)
            with _writable(path.parent):
                aside.rename(path)


def same_file(path: Path, other: Path) -> bool:
    """Whether both are there, and names of one inode."""
    try:
        return os.path.samestat(path.lstat(), other.lstat())
    except NOT_THERE:
        return False


def _make_folder(version: Path, path: Path) -> None:
    """One within the version that was lost, unless it is there."""
    if path != version and not path.is_dir():
        _make_folder(version, path.parent)
        with _writable(path.parent):
            path.unlink(missing_ok=True)
            path.mkdir()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A folder of a version, whose names change durably."""
    folder.chmod(0o755)
    try:
        yield
        sync_folder(folder)
    finally:
        folder.chmod(FOLDER_MODE)


def _make(layout: Layout, file: ModelFile, path: Path) -> None:
    """A link to the blob. An empty file is made: one inode may have 65,000 names only."""
    if file.chunks:
        os.link(layout.blob(file.chunk_root), path)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
