"""What a version lacks in the origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import Location, Locations, PackName, decode_hint
from registry_core.errors import IntegrityError, InvalidInput, NotFound, OriginError, Unauthorized
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.repair.packs import PackShelf
from registry_core.trust.oms import verify_version


@dataclass
class Health:
    """A version's objects. `places` are sound; `missing` are chunks that have none. `lost_packs`
    are missing or damaged, with what the hint says of them."""

    version: VersionRecord
    manifest: Manifest | None = None
    bundle: bytes | None = None
    hint: Locations = field(default_factory=dict)
    places: dict[ChunkId, Location] = field(default_factory=dict)
    missing: dict[ChunkId, Chunk] = field(default_factory=dict)
    lost_packs: dict[PackName, dict[ChunkId, Location]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def digest(self) -> Digest:
        return Digest.parse(self.version.digest)

    def take(self, places: Mapping[ChunkId, Location]) -> None:
        """These places are sound: what is missing and lies there, is found."""
        for chunk in list(self.missing.values()):
            place = places.get(chunk.id)
            if place is not None and place.length == chunk.length:
                self.places[chunk.id] = place
                del self.missing[chunk.id]


def look_at(
    origin: Origin, shelf: PackShelf, publishers: Mapping[str, str], version: VersionRecord
) -> Health:
    """Documents and packs of `version`, as deep as `shelf` reads. OriginError if the origin cannot
    be read, which says nothing of the version."""
    health = Health(version)
    data = _read(origin, manifest_key(health.digest), limits.MANIFEST_MAX)
    health.manifest = sound_manifest(health.digest, data)
    if health.manifest is None:
        health.problems.append(_said("manifest", data))
    data = _read(origin, bundle_key(health.digest), limits.BUNDLE_MAX)
    health.bundle = sound_bundle(version, data)
    if health.bundle is None:
        health.problems.append(_said("bundle", data))
    if health.manifest is not None:
        if health.bundle is not None:
            _check_signature(health, health.bundle, health.manifest, publishers)
        _look_at_chunks(origin, shelf, health, health.manifest)
    return health


def sound_manifest(digest: Digest, data: bytes | None) -> Manifest | None:
    if data is None or Digest.of(data) != digest:
        return None
    return Manifest.parse(data)


def sound_bundle(version: VersionRecord, data: bytes | None) -> bytes | None:
    """`data` if it is the bundle that the log names."""
    sound = data is not None and Digest.of(data).hex == version.bundle
    return data if sound else None


def _check_signature(
    health: Health, bundle: bytes, manifest: Manifest, publishers: Mapping[str, str]
) -> None:
    try:
        verify_version(bundle, manifest, publishers)
    except (InvalidInput, IntegrityError, Unauthorized) as error:
        health.problems.append(f"its bundle is that of the log, and not valid: {error}")


def _look_at_chunks(origin: Origin, shelf: PackShelf, health: Health, manifest: Manifest) -> None:
    data = _read(origin, hint_key(health.digest), limits.HINT_MAX)
    try:
        health.hint = decode_hint(data) if data is not None else {}
    except InvalidInput:
        data = b""
    unsaid = elsewhere = 0
    for chunk in manifest.unique_chunks.values():
        place = health.hint.get(chunk.id)
        if place is None or place.length != chunk.length:
            unsaid += 1
        elif (index := shelf.index(place.pack)) is None:
            health.lost_packs.setdefault(place.pack, {})[chunk.id] = place
        elif index.get(chunk.id) != place:
            elsewhere += 1
        else:
            health.places[chunk.id] = place
            continue
        health.missing[chunk.id] = chunk
    if not data:
        health.problems.append(_said("hint", data))
    elif unsaid:
        health.problems.append(f"its hint does not say where {unsaid} chunk(s) lie")
    if elsewhere:
        health.problems.append(f"its hint says wrongly where {elsewhere} chunk(s) lie")
    for name in health.lost_packs:
        there = origin.size(pack_key(name))
        health.problems.append(f"{pack_key(name)} is {'missing' if there is None else 'damaged'}")


def _read(origin: Origin, key: str, bytes_max: int) -> bytes | None:
    """The object, or None if it is missing; empty if it is larger than any such one."""
    try:
        return origin.get(key, bytes_max=bytes_max)
    except NotFound:
        return None
    except OriginError as error:
        if error.retryable:
            raise
        return b""


def _said(what: str, data: bytes | None) -> str:
    return f"its {what} is {'missing' if data is None else 'damaged'}"
