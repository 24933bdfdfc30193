"""An origin with several versions, a copy of it, and what can happen to it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from cachd.cache.cache import Cache
from registry_core import Registry
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, manifest_key
from registry_core.origin.store import Origin
from registry_core.repair.check import Checked
from registry_core.repair.sources import OriginSource, Source
from tests.cache.versions import fill

Objects = dict[str, bytes]


def objects(folder: Path) -> Objects:
    """Everything in the origin at `folder`, by key."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def copy_of(registry: Registry, folder: Path) -> OriginSource:
    """The origin as it is now, elsewhere."""
    shutil.copytree(origin_folder(registry), folder)
    return OriginSource(Origin.open(folder.as_uri()))


def origin_folder(registry: Registry) -> Path:
    return Path(registry.origin.url.removeprefix("file://"))


def packs_of(registry: Registry, version: VersionRecord) -> set[str]:
    """Keys of the packs that the hint of `version` names."""
    return packs_in(origin_folder(registry), version)


def packs_in(origin: Path, version: VersionRecord) -> set[str]:
    """The same of the origin in a folder."""
    data = (origin / f"{manifest_key(digest(version))}.packs").read_bytes()
    return {f"packs/{p.pack.hex[:2]}/{p.pack.hex}" for p in decode_hint(data).values()}


def digest(version: VersionRecord) -> Digest:
    return Digest.parse(version.digest)


def check(
    registry: Registry, *, repair: bool = False, deep: bool = True, sources: Sequence[Source] = (),
    after: str = "",
) -> list[Checked]:  # fmt: skip
    """Versions with something to tell."""
    asked = registry.check_origin(deep=deep, repair=repair, sources=sources)
    return [checked for checked in asked.run(after) if checked.problems]


def fill_cache(registry: Registry, data: Path, version: VersionRecord, content: Path) -> None:
    """As a node with the data directory `data` keeps `version`, of the files in `content`."""
    get = registry.origin.get
    encoded = get(manifest_key(digest(version)), bytes_max=limits.MANIFEST_MAX)
    bundle = get(bundle_key(digest(version)), bytes_max=limits.BUNDLE_MAX)
    manifest = Manifest.parse(encoded)
    chunks = {}
    for file in manifest.files:
        whole = (content / file.path).read_bytes()
        for offset, chunk in file.placed_chunks():
            chunks[chunk.id] = whole[offset : offset + chunk.length]
    with Cache.open(data / "cache") as cache:
        cache.put_documents(manifest.digest, encoded, bundle, b"")
        fill(cache, manifest, chunks)


def flip_a_bit(path: Path, rng: random.Random, *, before: int | None = None) -> None:
    """Somewhere in the first `before` bytes of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(before or len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
