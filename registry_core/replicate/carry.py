"""Packs and documents carried from one origin to another, each verified on the way.

At most _PACKS_IN_FLIGHT packs are in memory, whatever the size of the version. A crash leaves whole
packs, which the next run finds, and no document before all packs are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import PackName
from registry_core.errors import IntegrityError
from registry_core.origin.layout import pack_key
from registry_core.origin.store import Origin
from registry_core.replicate.load import Load, Places

_PACKS_IN_FLIGHT = 4


def carry_packs(
    source: Origin, destination: Origin, load: Load, names: Sequence[PackName],
    on_carried: Callable[[PackName], None],
) -> None:  # fmt: skip
    """Copy these packs. The first that is damaged, or cannot be read or written, ends it.
    `on_carried` is called from the calling thread."""
    with ThreadPoolExecutor(_PACKS_IN_FLIGHT, "carry") as pool:
        running: set[Future[PackName]] = set()
        for name in names:
            if len(running) >= _PACKS_IN_FLIGHT:
                running = _take(running, on_carried)
            running.add(pool.submit(_carry_pack, source, destination, load, name))
        while running:
            running = _take(running, on_carried)


def carry_documents(destination: Origin, load: Load) -> None:
    """Hint, bundle and, last, the manifest: now the version is visible."""
    for key, data in load.documents.items():
        destination.put(key, data)


def _take(
    running: set[Future[PackName]], on_carried: Callable[[PackName], None]
) -> set[Future[PackName]]:
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        on_carried(future.result())
    return rest


def _carry_pack(source: Origin, destination: Origin, load: Load, name: PackName) -> PackName:
    pack = source.get(pack_key(name), bytes_max=limits.PACK_MAX)
    _require_sound(source, pack, name, load.packs[name], load.manifest)
    destination.put(pack_key(name), pack)
    return name


def _require_sound(
    source: Origin, pack: bytes, name: PackName, places: Places, manifest: Manifest
) -> None:
    view = memoryview(pack)
    for chunk, place in places.items():
        actual = blake3(view[place.offset : place.offset + place.length]).digest()
        if actual != chunk.raw:
            raise IntegrityError(
                f"{pack_key(name)} in {source.url} is damaged: it holds other bytes than a chunk "
                f"of {_file_of(manifest, chunk)}; `cachctl origin verify --deep --repair` heals it",
                expected=chunk.hex,
                actual=actual.hex(),
            )
    whole = blake3(pack).digest()
    if whole != name.raw:
        raise IntegrityError(
            f"{pack_key(name)} in {source.url} is damaged, though not in what this version needs: "
            "`cachctl origin verify --deep --repair` heals it",
            expected=name.hex,
            actual=whole.hex(),
        )


def _file_of(manifest: Manifest, chunk: ChunkId) -> str:
    return next(f.path for f in manifest.files if any(one.id == chunk for one in f.chunks))
