"""One model in a registry with a `file://` origin, and a node that holds its first version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import registry_core
from cachd.cache.cache import Cache
from cachd.fetch.documents import fetch_documents
from cachd.fetch.fetcher import Fetcher
from registry_core import Registry
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.ledger.records import VersionRecord

_MODEL = "bench"


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes, as the bench's own page defines them."""

    new_bytes: int
    pushed_bytes: int
    fetched_bytes: int
    cloned_bytes: int


class Line:
    """The files below `model` become the first version, which origin and node then hold."""

    def __init__(self, registry: Registry, origin_root: Path, cache: Cache, model: Path) -> None:
        self._registry = registry
        self._origin_root = origin_root
        self._cache = cache
        self._fetcher = Fetcher(cache, registry.origin, NodeId("node"), 1)
        version = registry.push(model, _MODEL).version
        self.chunk_bytes = version.chunk_bytes
        self._first = self._fetch(version)[0]

    @classmethod
    @contextmanager
    def begin(cls, folder: Path, model: Path) -> Iterator[Line]:
        with (
            registry_core.init(folder / "registry", actor="bench") as registry,
            Cache.open(folder / "node") as cache,
        ):
            yield cls(registry, folder / "registry" / "origin", cache, model)

    def move(self, model: Path) -> Moved:
        """Push the files below `model`, fetch them to the node, and drop them there."""
        before = self._origin_bytes()
        version = self._registry.push(model, _MODEL).version
        pushed = self._origin_bytes() - before
        manifest, fetched, cloned = self._fetch(version)
        known = self._first.unique_chunks
        new = sum(c.length for c in manifest.unique_chunks.values() if c.id not in known)
        if manifest.digest != self._first.digest:
            self._cache.drop(manifest.digest)
        return Moved(new, pushed, fetched, cloned)

    def _fetch(self, version: VersionRecord) -> tuple[Manifest, int, int]:
        """As a node does; the version, bytes that came over the network, bytes cloned."""
        digest, fetched = Digest.parse(version.digest), 0
        documents = self._cache.documents(digest)
        if documents is None:
            bundle = bytes.fromhex(version.bundle)
            documents = fetch_documents(digest, bundle, [], self._registry.origin)
            self._cache.put_documents(digest, documents.manifest, documents.bundle, documents.hint)
            fetched = len(documents.manifest) + len(documents.bundle) + len(documents.hint)
        manifest = Manifest.parse(documents.manifest)
        report = self._fetcher.fetch(manifest, decode_hint(documents.hint), list)
        if report.complaints:
            raise RuntimeError(f"the node complains: {report.complaints[0]}")
        self._cache.publish(manifest)
        return manifest, fetched + report.bytes_from_origin, report.bytes_local

    def _origin_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._origin_root.rglob("*") if path.is_file())
