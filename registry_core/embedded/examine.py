"""What the origin holds of a version that is to be registered: everything that a node will ask for
is there, and is what was pushed, before anybody can promote it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from registry_core.changes.versions import Examined, VersionDraft
from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, PackName, decode_hint
from registry_core.embedded.formats import formats_in
from registry_core.errors import IntegrityError, InvalidInput, NotFound
from registry_core.origin.layout import bundle_key, hint_key, manifest_key, pack_key
from registry_core.origin.store import Origin
from registry_core.trust.oms import verify_version


def examine(
    origin: Origin, draft: VersionDraft, publishers: Mapping[str, str], seen: int
) -> Examined:
    """`seen` is the size of the log before this look. Each document is read once."""
    encoded = _read(origin, manifest_key(draft.manifest), limits.MANIFEST_MAX, draft.manifest)
    bundle = _read(origin, bundle_key(draft.manifest), limits.BUNDLE_MAX, draft.bundle)
    manifest = Manifest.parse(encoded)
    publisher = verify_version(bundle, manifest, publishers)
    hint = decode_hint(origin.get(hint_key(draft.manifest), bytes_max=limits.HINT_MAX))
    packs = _require_packs(origin, _places(manifest, hint))
    return Examined(manifest, publisher, formats_in(manifest, hint, origin), packs, seen)


def _read(origin: Origin, key: str, bytes_max: int, expected: Digest) -> bytes:
    data = origin.get(key, bytes_max=bytes_max)
    actual = Digest.of(data)
    if actual != expected:
        raise IntegrityError(
            f"what the origin holds under {key} is not what was pushed: push again",
            expected=str(expected),
            actual=str(actual),
        )
    return data


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
    for pack, end in ends.items():
        size = origin.size(pack_key(pack))
        if size is None or size < end:
            raise NotFound(f"the origin lacks {pack_key(pack)}, or part of it: push again")
    return ends
