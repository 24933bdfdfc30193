"""Whether a version fits into memory, and what has to give way for it. Pure: the rules alone.

1. A version is admitted if what it adds fits beside all that is there: within the budget, and
   within what the machine has to give now.
2. A file that several versions have is one inode, and counts once.
3. If it does not fit, versions give way as the policy allows: lowest standing first, of those the
   one that is there longest; only such as stand lower than the version that is coming.
4. None gives way in vain: not if it would not fit all the same, and not if it fits without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cachd.memory.standing import MemoryPolicy, Standing
from registry_core.domain.identifiers import Digest

Files = Mapping[bytes, int]
"""Bytes of memory by chunk root: equal files of a cache are one inode."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """A version that takes memory; `since_s` by one clock for all."""

    digest: Digest
    standing: Standing
    files: Files
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: `budget` is what versions may take, `available` what the machine can give now."""

    budget: int
    available: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`needs`: bytes that the version adds; `free`: bytes there are for it. If it does not fit,
    `give_way` are the versions whose end makes it fit; empty if none may or it is not enough."""

    fits: bool
    needs: int
    free: int
    give_way: tuple[Digest, ...] = ()


def admit(
    coming: InMemory, present: Iterable[InMemory], room: Room, policy: MemoryPolicy
) -> Verdict:
    there = [one for one in present if one.digest != coming.digest]
    held = Counter(root for one in there for root in one.files)
    needs = sum(size for root, size in coming.files.items() if root not in held)
    free = _free(there, room)
    if needs <= free:
        return Verdict(True, needs, free)
    candidates = sorted(
        (
            one
            for one in there
            if one.standing in policy.gives_up and one.standing < coming.standing
        ),
        key=lambda one: (one.standing, one.since_s, one.digest.hex),
    )
    chosen: list[InMemory] = []
    for one in candidates:
        chosen.append(one)
        if _fits_without(coming, there, chosen, room):
            return Verdict(False, needs, free, _least(coming, there, chosen, room))
    return Verdict(False, needs, free)


def _free(there: Iterable[InMemory], room: Room) -> int:
    return max(0, min(room.budget - total(there), room.available))


def total(versions: Iterable[InMemory]) -> int:
    """Bytes that versions take together."""
    files: dict[bytes, int] = {}
    for one in versions:
        files.update(one.files)
    return sum(files.values())


def _fits_without(
    coming: InMemory, there: list[InMemory], gone: list[InMemory], room: Room
) -> bool:
    left = [one for one in there if one not in gone]
    freed = total(there) - total(left)
    kept = {root for one in left for root in one.files}
    needs = sum(size for root, size in coming.files.items() if root not in kept)
    return needs <= _free(left, Room(room.budget, room.available + freed))


def _least(
    coming: InMemory, there: list[InMemory], chosen: list[InMemory], room: Room
) -> tuple[Digest, ...]:
    """Those of the chosen that are necessary; the highest standing is spared first."""
    for one in reversed(list(chosen)):
        fewer = [other for other in chosen if other is not one]
        if _fits_without(coming, there, fewer, room):
            chosen = fewer
    return tuple(one.digest for one in chosen)
