"""Files that lie on the disk and are not known yet, or are new: what they claim is hashed first."""

from __future__ import annotations

from pathlib import Path

from cachd.cache import audit
from cachd.cache.errors import disk_errors
from cachd.cache.index import StoredFile
from cachd.cache.layout import Layout, is_file
from cachd.cache.partial import open_partial, readings, unmark
from registry_core.domain.manifest import ModelFile


def adopt(layout: Layout, files: list[ModelFile]) -> list[StoredFile]:
    """Each as a file of the cache, with what it soundly holds. One caller at a time."""
    claims: dict[bytes, bytearray] = {}
    for file in files:
        if is_file(layout.blob(file.chunk_root), file.size):
            claims[file.chunk_root] = bytearray(b"\1" * len(file.chunks))
        else:
            claims[file.chunk_root] = open_partial(layout, file)
    checks = [
        reading
        for file in files
        for reading in readings(_claiming_path(layout, file), file, claims[file.chunk_root])
    ]
    for reading in audit.damaged(checks) if checks else ():
        root, position = reading.key
        claims[root][position] = 0
        if reading.path == layout.partial(root):
            unmark(layout, root, position)
    return [_adopted(layout, file, claims[file.chunk_root]) for file in files]


def _claiming_path(layout: Layout, file: ModelFile) -> Path:
    blob = layout.blob(file.chunk_root)
    return blob if is_file(blob, file.size) else layout.partial(file.chunk_root)


def _adopted(layout: Layout, file: ModelFile, have: bytearray) -> StoredFile:
    complete = _claiming_path(layout, file) == layout.blob(file.chunk_root)
    if complete and not all(have):
        with disk_errors("remove a damaged file", layout.blobs):
            layout.blob(file.chunk_root).unlink()
        have, complete = open_partial(layout, file), False
    return StoredFile(file, have, complete=complete)
