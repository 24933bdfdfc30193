"""What of a version is to be in an origin, and what of it is there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, PackName, decode_hint
from registry_core.errors import IntegrityError, InvalidInput, NotFound
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin
from registry_core.repair.look import sound_bundle, sound_manifest
from registry_core.repair.packs import PackShelf

Places = dict[ChunkId, Location]


@dataclass(frozen=True, slots=True)
class Load:
    """A version's documents, by key, in the order in which they are put; and where its chunks lie
    in each of its packs."""

    manifest: Manifest
    documents: dict[str, bytes]
    packs: dict[PackName, Places]

    def chunk_bytes(self, packs: Collection[PackName]) -> int:
        """Of the version's chunks in some of its packs."""
        return sum(place.length for name in packs for place in self.packs[name].values())


def read_load(source: Origin, version: VersionRecord) -> Load:
    """From the documents in `source`; IntegrityError if they are not what the log says, or do not
    say where each chunk lies."""
    digest = Digest.parse(version.digest)
    keys = {
        hint_key(digest): limits.HINT_MAX,
        bundle_key(digest): limits.BUNDLE_MAX,
        manifest_key(digest): limits.MANIFEST_MAX,
    }
    read = source.each(lambda one: source.get(one[0], bytes_max=one[1]), list(keys.items()))
    documents = dict(zip(keys, read, strict=True))
    manifest = sound_manifest(digest, documents[manifest_key(digest)])
    if manifest is None or sound_bundle(version, documents[bundle_key(digest)]) is None:
        raise _damaged(source, version, "manifest" if manifest is None else "bundle")
    try:
        hint = decode_hint(documents[hint_key(digest)])
    except InvalidInput as error:
        raise _damaged(source, version, "hint") from error
    packs: dict[PackName, Places] = {}
    for chunk in manifest.unique_chunks.values():
        place = hint.get(chunk.id)
        if place is None or place.length != chunk.length:
            raise _damaged(source, version, "hint")
        packs.setdefault(place.pack, {})[chunk.id] = place
    return Load(manifest, documents, packs)


def has_documents(origin: Origin, load: Load) -> bool:
    """Whether these very documents are there."""
    try:
        return all(
            origin.size(key) == len(data) and origin.get(key, bytes_max=len(data)) == data
            for key, data in load.documents.items()
        )
    except NotFound:
        return False


def lacking_packs(
    origin: Origin, load: Load, seen: Collection[PackName], on_read: Callable[[int], None], *,
    deep: bool,
) -> list[PackName]:  # fmt: skip
    """Packs that are not there, without looking for those in `seen`.

    One is there if its index, at its end, is well formed, accounts for each byte before it, and has
    the version's chunks where the hint says; `deep` reads and hashes all of it."""

    def is_there(name: PackName) -> bool:
        index = PackShelf(origin, on_read, deep=deep).index(name)
        return index is not None and all(
            index.get(chunk) == place for chunk, place in load.packs[name].items()
        )

    asked = [name for name in load.packs if name not in seen]
    there = origin.each(is_there, asked)
    return [name for name, known in zip(asked, there, strict=True) if not known]


def _damaged(source: Origin, version: VersionRecord, what: str) -> IntegrityError:
    return IntegrityError(
        f"the {what} of {version.model}/{version.number} in {source.url} is damaged: "
        "`cachctl origin verify --repair` puts it back"
    )
