"""What a start makes of whatever a crash left, at any instant.

tmp/ is emptied; damaged documents go, and documents without a manifest; blobs and partials that
no manifest names go, unless a version still links the blob (then `begin` adopts it by hashing).
A blob that a manifest names is complete, because it was verified and synced before it got its
name; should its size differ all the same, it goes. Partials stay as they are: they count for
nothing until `begin` has hashed what they claim.
"""

from __future__ import annotations

from pathlib import Path

from cachd.cache.documents import DocumentFiles
from cachd.cache.errors import disk_errors
from cachd.cache.index import Index, StoredFile
from cachd.cache.layout import FOLDER_MODE, HEX64, Layout, is_file, remove_tree
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest, ModelFile


def recover(layout: Layout, documents: DocumentFiles, index: Index) -> dict[Digest, Manifest]:
    """Tidy the disk, fill `index` with the complete files, and return the known versions."""
    with disk_errors("open the cache", layout.root):
        layout.make()
        for left in layout.tmp.iterdir():
            remove_tree(left) if left.is_dir() else left.unlink()
        manifests = {manifest.digest: manifest for manifest in documents.scan()}
        named = {
            file.chunk_root: file
            for manifest in manifests.values()
            for file in manifest.files
            if file.chunks
        }
        for path in layout.blobs.iterdir():
            _take_blob(path, named, index)
        for path in layout.partials.iterdir():
            _tidy_partial(path, named, index)
        for path in layout.versions.iterdir():
            path.chmod(FOLDER_MODE)
    return manifests


def _take_blob(path: Path, named: dict[bytes, ModelFile], index: Index) -> None:
    file = named.get(bytes.fromhex(path.name)) if HEX64.fullmatch(path.name) else None
    if file is not None and is_file(path, file.size):
        index.add(StoredFile(file, bytearray(b"\1" * len(file.chunks)), complete=True))
    elif file is not None or path.lstat().st_nlink == 1:
        path.unlink()


def _tidy_partial(path: Path, named: dict[bytes, ModelFile], index: Index) -> None:
    stem = path.name.removesuffix(".have")
    root = bytes.fromhex(stem) if HEX64.fullmatch(stem) else b""
    alone = path.name != stem and not path.with_name(stem).exists()
    if root not in named or index.file(root) is not None or alone:
        path.unlink(missing_ok=True)
