"""What a cache gives up when space is needed. Pure: the rules, and nothing that touches a disk.

1. Nothing goes while what is there, and what is to come, stays within the high watermark.
2. Above it versions go until the low one is reached: least recently used first.
3. What is kept (resident, leased, desired, coming, or within grace) never goes.
4. Nothing goes for a version that would not fit all the same.
5. A version whose files all stay on the disk anyway, because what is kept needs them or because
   they are linked from outside the cache, frees next to nothing: such go after all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cachd import limits
from registry_core.domain.identifiers import Digest


@dataclass(frozen=True, slots=True)
class Held:
    """A version on the disk, whole or in part: its files by chunk root, and the bytes that are its
    alone (documents, folders). `used_s` is the time of its last use, by one clock for all."""

    digest: Digest
    used_s: float
    files: frozenset[bytes]
    own_bytes: int


def to_free(used: int, coming: int, limit: int) -> int:
    """Bytes to free before `coming` bytes more are written; 0 below the high watermark."""
    if used + coming <= limit * limits.CACHE_HIGH:
        return 0
    return max(0, used + coming - int(limit * limits.CACHE_LOW))


def choose(
    held: Iterable[Held],
    kept: Collection[Digest],
    freed_by: Mapping[bytes, int],
    wanted: int,
    least: int = 0,
) -> list[Digest]:
    """The versions to drop, in order, so that `wanted` bytes come free, or as many as can. None if
    not even `least` bytes can.

    `freed_by`: bytes that come free with a file's last version; 0 for one linked from outside.
    """
    held = list(held)
    left = Counter(root for version in held for root in version.files)
    pinned = {root for version in held if version.digest in kept for root in version.files}

    def turn(version: Held) -> tuple[bool, float, str]:
        pointless = not any(freed_by.get(root, 0) for root in version.files - pinned)
        return pointless, version.used_s, version.digest.hex

    chosen, freed = [], 0
    for version in sorted((one for one in held if one.digest not in kept), key=turn):
        if freed >= wanted:
            break
        left.subtract(version.files)
        freed += version.own_bytes
        freed += sum(freed_by.get(root, 0) for root in version.files if not left[root])
        chosen.append(version.digest)
    return chosen if freed >= least else []
