"""Where lost bytes may still be: another origin, a node's cache, anything that has them.

What a source gives is not trusted: whoever asks verifies it. A source that cannot be read gives
nothing, for which there may be others.
"""

from __future__ import annotations

from typing import Protocol

from registry_core.domain import limits
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import Locations, PackName, decode_hint
from registry_core.errors import RegistryError
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin


class Source(Protocol):
    """Each method gives None for what it does not have."""

    @property
    def name(self) -> str: ...

    def manifest(self, digest: Digest) -> bytes | None: ...

    def bundle(self, digest: Digest) -> bytes | None: ...

    def pack(self, name: PackName) -> bytes | None: ...

    def chunk(self, manifest: Manifest, chunk: Chunk) -> bytes | None: ...


class OriginSource:
    """Another origin of the same registry, or a copy of this one."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._hint: tuple[Digest, Locations] | None = None  # of the last version

    @property
    def name(self) -> str:
        return self._origin.url

    def manifest(self, digest: Digest) -> bytes | None:
        return self._get(manifest_key(digest), limits.MANIFEST_MAX)

    def bundle(self, digest: Digest) -> bytes | None:
        return self._get(bundle_key(digest), limits.BUNDLE_MAX)

    def pack(self, name: PackName) -> bytes | None:
        return self._get(pack_key(name), limits.PACK_MAX)

    def chunk(self, manifest: Manifest, chunk: Chunk) -> bytes | None:
        place = self._places(manifest.digest).get(chunk.id)
        if place is None or place.length != chunk.length:
            return None
        try:
            return bytes(self._origin.read_chunk(place))
        except RegistryError:
            return None

    def _places(self, digest: Digest) -> Locations:
        if self._hint is None or self._hint[0] != digest:
            data = self._get(hint_key(digest), limits.HINT_MAX)
            try:
                self._hint = (digest, decode_hint(data) if data is not None else {})
            except RegistryError:
                self._hint = (digest, {})
        return self._hint[1]

    def _get(self, key: str, bytes_max: int) -> bytes | None:
        try:
            return self._origin.get(key, bytes_max=bytes_max)
        except RegistryError:
            return None
