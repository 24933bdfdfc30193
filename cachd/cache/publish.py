"""Complete files become blobs, and blobs an immutable version directory.

Order, each step durable before the next: bytes, mode, rename to `blobs/`; a folder of hard links
in `tmp/`; rename to `versions/`. So after a crash a version is wholly there or not at all, and a
name in `blobs/` always stands for complete bytes. Called by one thread at a time.
"""

from __future__ import annotations

import os
from pathlib import Path

from cachd.cache.errors import disk_errors
from cachd.cache.index import StoredFile
from cachd.cache.layout import FILE_MODE, FOLDER_MODE, Layout, sync_folder
from registry_core.domain.manifest import Manifest


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
            if file.chunks:
                os.link(layout.blob(file.chunk_root), target)
            else:
                _make_empty(target)
        for folder in sorted(folders, reverse=True):
            if folder != aside:
                folder.chmod(FOLDER_MODE)
            sync_folder(folder)
        aside.rename(final)
        final.chmod(FOLDER_MODE)  # after the rename, which needs a writable folder
        sync_folder(layout.versions)
    return final


def replace_files(layout: Layout, manifest: Manifest) -> None:
    """Files of a visible version that are not the blobs of today are replaced by these, one by one.

    The old inode lives on in whoever has it open. A crash leaves old and new files side by side,
    each of them whole.
    """
    version = layout.version(manifest.digest)
    for file in manifest.files:
        path, blob = version / file.path, layout.blob(file.chunk_root)
        if not file.chunks or same_file(path, blob):
            continue
        aside = layout.tmp / f"{blob.name}.{os.urandom(8).hex()}"
        with disk_errors("mend a version", path):
            os.link(blob, aside)
            path.parent.chmod(0o755)
            aside.rename(path)
            sync_folder(path.parent)
            path.parent.chmod(FOLDER_MODE)


def same_file(path: Path, other: Path) -> bool:
    """Whether both are there, and names of one inode."""
    try:
        return os.path.samestat(path.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def _make_empty(path: Path) -> None:
    """An empty file is made, not linked: one inode may have 65,000 names only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
