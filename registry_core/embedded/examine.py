"""What the origin holds of a version that is to be registered: everything that a node will ask for
is there, and is what was pushed, before anybody can promote it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from registry_core.changes.versions import Examined, VersionDraft
from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, Locations, PackName, decode_hint
from registry_core.embedded.formats import formats_in
from registry_core.errors import IntegrityError, InvalidInput, NotFound
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.trust.oms import verify_version


def examine(
    origin: Origin, draft: VersionDraft, publishers: Mapping[str, str], seen: int
) -> Examined:
    """`seen` is the size of the log before this look. Each document is read once."""
    manifest, bundle, hint = _documents(origin, draft.manifest, draft.bundle)
    publisher = verify_version(bundle, manifest, publishers)
    packs = _require_packs(origin, _places(manifest, hint))
    return Examined(manifest, publisher, formats_in(manifest, hint, origin), packs, seen)


def packs_of_copy(origin: Origin, version: VersionRecord) -> Collection[PackName]:
    """The packs of a registered version in the origin of another region, which has all of it."""
    expected = Digest.parse(version.digest), Digest.parse_hex(version.bundle)
    manifest, _, hint = _documents(origin, *expected)
    return _require_packs(origin, _places(manifest, hint))


def _documents(
    origin: Origin, manifest: Digest, bundle: Digest
) -> tuple[Manifest, bytes, Locations]:
    """Manifest, bundle and hint, the first two of which are what these digests say."""
    encoded, signed, placed = origin.each(
        lambda wanted: origin.get(wanted[0], bytes_max=wanted[1]),
        [
            (manifest_key(manifest), limits.MANIFEST_MAX),
            (bundle_key(manifest), limits.BUNDLE_MAX),
            (hint_key(manifest), limits.HINT_MAX),
        ],
    )
    _require(manifest, encoded, manifest_key(manifest))
    _require(bundle, signed, bundle_key(manifest))
    return Manifest.parse(encoded), signed, decode_hint(placed)


def _require(expected: Digest, data: bytes, key: str) -> None:
    actual = Digest.of(data)
    if actual != expected:
        raise IntegrityError(
            f"what the origin holds under {key} is not what was pushed: push again",
            expected=str(expected),
            actual=str(actual),
        )


def _places(manifest: Manifest, hint: Mapping[ChunkId, Location]) -> list[Location]:
    places = []
    for chunk in manifest.unique_chunks.values():
        place = hint.get(chunk.id)
        if place is None or place.length != chunk.length:
            raise InvalidInput(f"the packs hint does not say where chunk {chunk.id} lies")
        places.append(place)
    return places


def _require_packs(origin: Origin, places: list[Location]) -> Collection[PackName]:
    """The packs, all of which are there and long enough."""
    ends: dict[PackName, int] = {}
    for place in places:
        ends[place.pack] = max(ends.get(place.pack, 0), place.offset + place.length)
    sizes = origin.each(lambda pack: origin.size(pack_key(pack)), list(ends))
    for (pack, end), size in zip(ends.items(), sizes, strict=True):
        if size is None or size < end:
            raise NotFound(f"the origin lacks {pack_key(pack)}, or part of it: push again")
    return ends
