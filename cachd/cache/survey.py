"""A look at every version and at the names of every file: what there is to evict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from cachd.cache.eviction import Held
from cachd.cache.layout import Layout
from cachd.cache.leftovers import names_of
from cachd.cache.space import Space
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Survey:
    """`freed_by`: bytes that come free with the last version of a file, by chunk root; 0 where it
    is linked from outside the cache. `outside`: bytes of those."""

    held: tuple[Held, ...]
    freed_by: Mapping[bytes, int]
    outside: int


def survey(
    layout: Layout, space: Space, manifests: Mapping[Digest, Manifest], strays: Collection[Digest]
) -> Survey:
    """`strays` are directories whose manifest is lost: the first to go."""
    names = Counter(
        file.chunk_root
        for digest, manifest in manifests.items()
        if layout.version(digest).is_dir()
        for file in manifest.files
    )
    roots = {f.chunk_root for manifest in manifests.values() for f in manifest.files if f.chunks}
    linked = {root for root in roots if names_of(layout.blob(root)) > 1 + names[root]}
    held = [
        Held(
            digest,
            _used_s(layout.documents / digest.hex),
            frozenset(file.chunk_root for file in manifest.files if file.chunks),
            space.own_bytes(digest),
        )
        for digest, manifest in manifests.items()
    ]
    held += [Held(digest, 0.0, frozenset(), space.own_bytes(digest)) for digest in strays]
    return Survey(
        tuple(held),
        {root: 0 if root in linked else space.file_bytes(root) for root in roots},
        sum(space.file_bytes(root) for root in linked),
    )


def _used_s(document: Path) -> float:
    try:
        return document.stat().st_mtime
    except FileNotFoundError:
        return 0.0
