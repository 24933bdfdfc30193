"""The documents of a version as files: manifest, OMS bundle, and the hint where chunks lie.

The manifest is written last, so that a version with a manifest has all that was put with it.
Manifests are checked against the version's digest whenever they are read from disk; bundles are
verified by whoever uses them; hints are never trusted. Calls may come from any thread.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cachd.cache.errors import disk_errors
from cachd.cache.layout import HEX64, Layout, sync_folder, write_durably
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError, RegistryError


class DocumentKind(enum.IntEnum):
    """The numbers are those of the peer protocol."""

    MANIFEST = 0
    BUNDLE = 1
    HINT = 2


_SUFFIX = {DocumentKind.MANIFEST: "", DocumentKind.BUNDLE: ".bundle", DocumentKind.HINT: ".packs"}


@dataclass(frozen=True, slots=True)
class Documents:
    """What describes a version. `hint` may be empty: then only peers can give its chunks."""

    manifest: bytes
    bundle: bytes
    hint: bytes


class DocumentFiles:
    """`documents/` of a cache."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path(self, digest: Digest, kind: DocumentKind) -> Path:
        return self._layout.documents / f"{digest.hex}{_SUFFIX[kind]}"

    def paths(self, digest: Digest) -> list[Path]:
        return [self.path(digest, kind) for kind in DocumentKind]

    def put(self, digest: Digest, documents: Documents) -> None:
        """Keep all three, durably. IntegrityError if the manifest is not that of `digest`."""
        check_manifest(digest, documents.manifest)
        self._write(digest, DocumentKind.HINT, documents.hint)
        self._write(digest, DocumentKind.BUNDLE, documents.bundle)
        self._write(digest, DocumentKind.MANIFEST, documents.manifest)

    def put_manifest(self, manifest: Manifest) -> None:
        """Keep the manifest alone: without it, nothing tells after a restart what a file holds."""
        if not self.path(manifest.digest, DocumentKind.MANIFEST).exists():
            self._write(manifest.digest, DocumentKind.MANIFEST, manifest.encoded)

    def get(self, digest: Digest) -> Documents | None:
        """All three, or None unless manifest and bundle are both there."""
        manifest = self.read(digest, DocumentKind.MANIFEST)
        bundle = self.read(digest, DocumentKind.BUNDLE)
        if manifest is None or bundle is None:
            return None
        check_manifest(digest, manifest)
        return Documents(manifest, bundle, self.read(digest, DocumentKind.HINT) or b"")

    def read(self, digest: Digest, kind: DocumentKind) -> bytes | None:
        path = self.path(digest, kind)
        with disk_errors("read a document", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def remove(self, digest: Digest) -> None:
        """The manifest goes first: without it the others mean nothing."""
        with disk_errors("remove documents", self._layout.documents):
            for kind in DocumentKind:
                self.path(digest, kind).unlink(missing_ok=True)
            sync_folder(self._layout.documents)

    def scan(self) -> Iterator[Manifest]:
        """At start: every sound manifest. What is damaged or has no manifest is removed."""
        for path in sorted(self._layout.documents.iterdir()):
            digest = Digest.parse_hex(path.name[:64]) if HEX64.match(path.name) else None
            if path.is_dir():
                continue
            if digest is None:
                path.unlink(missing_ok=True)
            elif path.name != digest.hex:
                if not self.path(digest, DocumentKind.MANIFEST).exists():
                    path.unlink(missing_ok=True)
            else:
                manifest = _load(digest, path)
                if manifest is None:
                    self.remove(digest)
                else:
                    yield manifest

    def _write(self, digest: Digest, kind: DocumentKind, data: bytes) -> None:
        path = self.path(digest, kind)
        with disk_errors("keep a document", path):
            write_durably(path, data, self._layout.tmp)


def check_manifest(digest: Digest, data: bytes) -> None:
    """IntegrityError unless `data` is the manifest whose digest is the version's identity."""
    actual = Digest.of(data)
    if actual != digest:
        raise IntegrityError(
            "a manifest is not that of its version", expected=str(digest), actual=str(actual)
        )


def _load(digest: Digest, path: Path) -> Manifest | None:
    data = path.read_bytes()
    try:
        check_manifest(digest, data)
        return Manifest.parse(data)
    except RegistryError:
        return None
