"""Which name a pack of given chunks has, and where each of them lies in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from blake3 import blake3

from registry_core.domain import limits
from registry_core.domain.identifiers import ChunkId
from registry_core.domain.manifest import Chunk
from registry_core.domain.packs import Location, PackName, pack_trailer


def named_pack(
    pack: bytearray, chunks: Sequence[Chunk], avoid: Collection[PackName]
) -> tuple[PackName, bytearray] | None:
    """The pack, or one of the same chunks that is not named as one of `avoid`: behind them it has
    one more, that nobody asks for, made of the name to avoid. So it is found again, too, by a push
    that was cut off. None if there is no room for it in a pack."""
    inside, content = list(chunks), len(pack) - len(pack_trailer(chunks))
    while (name := PackName(blake3(pack).digest())) in avoid:
        inside.append(Chunk(ChunkId(blake3(name.raw).digest()), len(name.raw)))
        pack = pack[:content] + name.raw + pack_trailer(inside)
        content += len(name.raw)
    return (name, pack) if len(pack) <= limits.PACK_MAX or len(chunks) == 1 else None


def locations_in(name: PackName, chunks: Sequence[Chunk]) -> Iterator[tuple[ChunkId, Location]]:
    offset = 0
    for chunk in chunks:
        yield chunk.id, Location(name, offset, chunk.length)
        offset += chunk.length
