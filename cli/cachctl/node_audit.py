"""What a node keeps on its disk, read again from end to end. Nothing is changed or locked.

Works beside the running node: published files never change, and a version that disappears while
it is read was dropped, not damaged. Files still being filled are not looked at: the node hashes
them itself before it goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cachd.cache.audit import Reading, damaged
from cachd.cache.documents import check_manifest
from cachd.cache.errors import disk_errors
from cachd.cache.layout import HEX64, Layout, is_file
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest, ModelFile
from registry_core.errors import RegistryError

BytesRead = Callable[[int], None]
Placed = tuple[Path, ModelFile]


class CacheAudit:
    """Each file is hashed once, however many versions share it."""

    def __init__(self, root: Path) -> None:
        self._layout = Layout(root)
        self._hashed: set[tuple[int, int]] = set()
        self.problems: list[str] = []

    def manifests(self) -> list[Manifest]:
        """Of all versions that the cache knows; those that are damaged become problems."""
        with disk_errors("read the cache", self._layout.root):
            folders = sorted(self._layout.versions.iterdir())  # first: manifests come before them
            known = [path for path in sorted(self._layout.documents.iterdir())
                     if HEX64.fullmatch(path.name)]  # fmt: skip
            found = [manifest for path in known if (manifest := self._manifest(path)) is not None]
            self._find_strays(folders, {path.name for path in known})
        return found

    def published(self, manifest: Manifest) -> bool:
        return self._layout.version(manifest.digest).is_dir()

    def check(self, manifest: Manifest, on_read: BytesRead) -> None:
        """Hash all that is there of a version. Of a published one, everything must be."""
        folder = self._layout.version(manifest.digest)
        was_published = folder.is_dir()
        places = list(self._places(manifest, folder if was_published else None))
        wrong = {path for path, file in places if not is_file(path, file.size)}
        readings = self._readings([place for place in places if place[0] not in wrong], on_read)
        wrong |= {reading.path for reading in damaged(readings)}
        if was_published and not folder.is_dir():
            return  # dropped meanwhile
        self.problems += [
            f"{path} is damaged or missing: restart the node, it fetches such a version again"
            for path in sorted(wrong)
        ]

    def _manifest(self, path: Path) -> Manifest | None:
        digest = Digest.parse_hex(path.name)
        try:
            data = path.read_bytes()
            check_manifest(digest, data)
            return Manifest.parse(data)
        except FileNotFoundError:
            return None  # dropped meanwhile
        except RegistryError as error:
            self.problems.append(f"manifest {path}: {error}; the node removes it when it starts")
            return None

    def _find_strays(self, folders: list[Path], known: set[str]) -> None:
        for folder in folders:
            if folder.name not in known and folder.exists():
                self.problems.append(f"{folder} is visible without its manifest: remove it")

    def _places(self, manifest: Manifest, folder: Path | None) -> Iterator[Placed]:
        for file in manifest.files:
            blob = self._layout.blob(file.chunk_root)
            if file.chunks and blob.exists():
                yield blob, file
            if folder is not None:
                yield folder / file.path, file

    def _readings(self, places: list[Placed], on_read: BytesRead) -> Iterator[Reading]:
        for path, file in places:
            try:
                state = path.lstat()
            except FileNotFoundError:
                continue  # dropped meanwhile
            if (state.st_dev, state.st_ino) in self._hashed:
                continue
            self._hashed.add((state.st_dev, state.st_ino))
            for number, (offset, chunk) in enumerate(file.placed_chunks()):
                yield Reading(path, offset, chunk, (file.chunk_root, number))
                on_read(chunk.length)
