"""Which formats a version's files have. Files whose names say too little are looked into: the first
chunk is read from the origin and verified, so that what is judged is what will run."""

from __future__ import annotations

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.formats import UNEXAMINED, format_of_content, format_of_name
from registry_core.domain.manifest import Manifest, ModelFile
from registry_core.domain.packs import Locations
from registry_core.errors import IntegrityError
from registry_core.origin.store import Origin


def formats_in(manifest: Manifest, hint: Locations, origin: Origin) -> set[str]:
    """Of all files. At most FILES_EXAMINED_MAX are read; further ones count as `unexamined`."""
    named = {file.path: format_of_name(file.path) for file in manifest.files}
    unclear = [file for file in manifest.files if named[file.path] is None and file.size]
    found = {name for name in named.values() if name is not None}
    found |= {_examine(file, hint, origin) for file in unclear[: limits.FILES_EXAMINED_MAX]}
    if len(unclear) > limits.FILES_EXAMINED_MAX:
        found.add(UNEXAMINED)
    return found


def _examine(file: ModelFile, hint: Locations, origin: Origin) -> str:
    chunk = file.chunks[0]
    data = origin.read_chunk(hint[chunk.id])
    actual = blake3(data).hexdigest()
    if actual != chunk.id.hex:
        raise IntegrityError(
            f"the origin holds other bytes than chunk {chunk.id}: push again",
            expected=chunk.id.hex,
            actual=actual,
        )
    return format_of_content(data)
