"""The attempts at chunks that are under way: one at each, or two where the first is late and little
else is left to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cachd.fetch.plan import Wanted
from cachd.fetch.view import Fixed, Source
from cachd.peer.bitmaps import Mask
from cachd.peer.directory import PeerAddress
from registry_core.domain.packs import Location


@dataclass(eq=False, slots=True)
class Attempt:
    """An assignment under way. Workers read it; `abandoned` tells one not to begin any more. They
    note how many chunks the request for it asked for, `together`, and how long that took.
    `passed_on`: its bytes go to followers as they come."""

    wanted: Wanted
    source: Source
    address: PeerAddress | None
    location: Location | None
    began_s: float
    abandoned: bool = False
    together: int = 1
    took_s: float = 0.0
    passed_on: bool = False


class Attempts:
    """Of one fetch, by chunk number. `bytes` is what all of them together will bring."""

    def __init__(self, chunks: int) -> None:
        self.flying: Mask = np.zeros(chunks, np.bool_)
        self.bytes = 0
        self._at: dict[int, list[Attempt]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Attempt]:
        for attempts in self._at.values():
            yield from attempts

    def at(self, number: int) -> tuple[Attempt, ...]:
        """The attempts at this chunk."""
        return tuple(self._at.get(number, ()))

    def add(self, attempt: Attempt) -> None:
        self._at.setdefault(attempt.wanted.number, []).append(attempt)
        self.flying[attempt.wanted.number] = True
        self.bytes += attempt.wanted.chunk.length
        self._count += 1

    def remove(self, attempt: Attempt) -> None:
        number = attempt.wanted.number
        left = self._at[number]
        left.remove(attempt)
        if not left:
            del self._at[number]
            self.flying[number] = False
        self.bytes -= attempt.wanted.chunk.length
        self._count -= 1

    def from_origin(self) -> Mask:
        """The chunks that the origin is being asked for."""
        mask = np.zeros(len(self.flying), np.bool_)
        for attempt in self:
            if attempt.source is Fixed.ORIGIN:
                mask[attempt.wanted.number] = True
        return mask

    def single_since(self, before_s: float) -> dict[int, Source]:
        """The sources of those that began before that time and have no second beside them; what
        this cache copies from itself is not among them."""
        return {
            number: attempts[0].source
            for number, attempts in self._at.items()
            if len(attempts) == 1
            and attempts[0].began_s < before_s
            and attempts[0].source is not Fixed.LOCAL
        }
