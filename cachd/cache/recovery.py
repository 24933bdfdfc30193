"""What a start makes of whatever a crash, a bad disk or a person left, at any instant.

tmp/ is emptied; damaged documents go, and documents without a manifest; blobs and partials that
no manifest names go, unless something still links the blob (then `begin` adopts it by hashing).
A blob that a manifest names is complete, because it was verified and synced before it got its
name; should its size differ all the same, it goes. Partials stay as they are: they count for
nothing until `begin` has hashed what they claim. A directory that lacks files of its version goes,
and is made again of the blobs; one whose manifest is lost stays, for it may be served.
Folders, and names in `versions/` that are no digest, are nobody's that this code knows: they stay.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cachd.cache.documents import DocumentFiles
from cachd.cache.errors import disk_errors
from cachd.cache.index import Index, StoredFile
from cachd.cache.layout import FOLDER_MODE, HEX64, Layout, has_files, is_file, remove_tree
from cachd.cache.leftovers import tidy_condemned
from cachd.cache.space import Space
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest, ModelFile


@dataclass(slots=True)
class Found:
    """`strays`: directories whose manifest is lost. `orphans`: blobs that no manifest names, and
    that have other names."""

    manifests: dict[Digest, Manifest]
    strays: set[Digest] = field(default_factory=set)
    orphans: set[bytes] = field(default_factory=set)


def recover(layout: Layout, documents: DocumentFiles, index: Index, space: Space) -> Found:
    """Tidy the disk, fill `index` with the complete files, and measure what is there."""
    with disk_errors("open the cache", layout.root):
        layout.make()
        for left in layout.tmp.iterdir():
            remove_tree(left) if left.is_dir() else left.unlink()
        found = Found({manifest.digest: manifest for manifest in documents.scan()})
        named = {
            file.chunk_root: file
            for manifest in found.manifests.values()
            for file in manifest.files
            if file.chunks
        }
        for path in _files(layout.blobs):
            _take_blob(path, named, index, found)
        for path in _files(layout.partials):
            _tidy_partial(path, named, index)
        tidy_condemned(layout, space)
        for path in _files(layout.blobs) + _files(layout.partials):
            space.measure_file(bytes.fromhex(path.name[:64]))
        for digest in found.manifests:
            space.measure_documents(digest, documents.paths(digest))
        _take_versions(layout, found, space)
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_symlink() or not path.is_dir()]


def _take_blob(path: Path, named: dict[bytes, ModelFile], index: Index, found: Found) -> None:
    root = bytes.fromhex(path.name) if HEX64.fullmatch(path.name) else b""
    file = named.get(root)
    if file is not None and is_file(path, file.size):
        index.add(StoredFile(file, bytearray(b"\1" * len(file.chunks)), complete=True))
    elif file is not None or not root or path.lstat().st_nlink == 1:
        path.unlink()
    else:
        found.orphans.add(root)


def _tidy_partial(path: Path, named: dict[bytes, ModelFile], index: Index) -> None:
    stem = path.name.removesuffix(".have")
    root = bytes.fromhex(stem) if HEX64.fullmatch(stem) else b""
    alone = path.name != stem and not path.with_name(stem).exists()
    if root not in named or index.file(root) is not None or alone:
        path.unlink(missing_ok=True)


def _take_versions(layout: Layout, found: Found, space: Space) -> None:
    counted = {path.lstat().st_ino for path in _files(layout.blobs) + _files(layout.condemned)}
    for path in layout.versions.iterdir():
        if not HEX64.fullmatch(path.name) or not path.is_dir():
            continue
        digest = Digest.parse_hex(path.name)
        manifest = found.manifests.get(digest)
        if manifest is None:
            found.strays.add(digest)
        elif not has_files(path, manifest):
            path.chmod(0o755)
            remove_tree(path)
            continue
        space.measure_version(digest, _strays(path, counted))


def _strays(version: Path, counted: set[int]) -> int:
    """Bytes of files that have no other name here; meanwhile folders get the mode they should
    have."""
    strays = 0
    for at, _, names in os.walk(version):
        Path(at).chmod(FOLDER_MODE)
        for name in names:
            state = (Path(at) / name).lstat()
            if state.st_ino not in counted:
                counted.add(state.st_ino)
                strays += state.st_blocks * 512
    return strays
