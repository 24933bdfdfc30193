"""Which chunks peers have announced to push, and until when it pays to wait for them. Pure.

A peer that claims a chunk will push it. How long that takes, from the claim to the chunk, depends
on origin and links, so it is learned from what nine in ten of the last ones took. Before there are
enough to tell, it may take as long as the fetch has patience.

A peer announces between two chunks that it pushes, not amid one. Over a slow link that is a second,
and meanwhile others, who were sent the next one sooner, tell that they hold it. So what appears
while chunks are coming may be about to be announced by who sends one of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cachd.fetch.lateness import Lateness
from cachd.fetch.settings import FetchSettings
from registry_core.domain.identifiers import NodeId

NOBODY: Final[Mapping[NodeId, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Claim:
    node: NodeId
    at_s: float


class ExpectedPushes:
    def __init__(self, settings: FetchSettings) -> None:
        self._claims: dict[int, _Claim] = {}
        self._of: dict[NodeId, set[int]] = {}
        """By node: the numbers of its claims among them."""
        self._appeared_s: dict[int, float] = {}
        """What peers hold and nobody claims, by when the first of them had got it."""
        self._late = Lateness(settings.late_factor, settings.hedge_s, settings.patience_s_max)

    def __len__(self) -> int:
        return len(self._claims) + len(self._appeared_s)

    def held_up(self, until_s: float) -> None:
        """This node's own limit made what comes wait until then."""
        self._late.held_up(until_s)

    def appeared(self, numbers: Collection[int], now_s: float) -> None:
        """The first of the peers have got these chunks."""
        for number in numbers:
            if number not in self._claims:
                self._appeared_s.setdefault(number, now_s)

    def promised(self, node: NodeId, numbers: Collection[int], now_s: float) -> None:
        """All that this peer is going to push, as it says now."""
        mine = self._of.setdefault(node, set())
        for number in mine.difference(numbers):
            mine.discard(number)
            del self._claims[number]
        for number in numbers:
            if number not in self._claims:
                mine.add(number)
                self._appeared_s.pop(number, None)
                self._claims[number] = _Claim(node, now_s)

    def came(self, node: NodeId | None, number: int, now_s: float) -> NodeId | None:
        """The chunk came from `node` (None: no peer). Returns who else is about to push it."""
        self._appeared_s.pop(number, None)
        claim = self._claims.pop(number, None)
        if claim is None:
            return None
        self._of[claim.node].discard(number)
        if claim.node != node:
            return claim.node
        self._late.took(now_s - claim.at_s)
        return None

    def gone(self, node: NodeId) -> None:
        """Nothing comes from this peer any more."""
        for number in self._of.pop(node, ()):
            del self._claims[number]

    def expected(
        self,
        now_s: float,
        patience_s: float,
        still: Collection[NodeId] = (),
        coming_s: Mapping[NodeId, float] = NOBODY,
    ) -> frozenset[int]:
        """Numbers of the chunks that are worth waiting for. `still`: who shows no progress.
        `coming_s`: by peer, since when a chunk that it pushes has been coming."""
        late_s = self._late.began_before_s(now_s, patience_s)
        coming = (since_s for node, since_s in coming_s.items() if node not in still)
        silent_s = max(late_s, min(coming, default=math.inf))
        return frozenset(
            number
            for number, claim in self._claims.items()
            if claim.at_s >= late_s and claim.node not in still
        ).union(number for number, at_s in self._appeared_s.items() if at_s >= silent_s)

    def under_way(
        self, now_s: float, patience_s: float, still: Collection[NodeId] = ()
    ) -> Mapping[int, NodeId]:
        """What is late, but not twice as late, and from whom: to ask the same node for it would
        only make it come twice."""
        late_s = self._late.began_before_s(now_s, patience_s)
        hopeless_s = late_s - self._late.after_s(patience_s)
        return {
            number: claim.node
            for number, claim in self._claims.items()
            if hopeless_s <= claim.at_s < late_s and claim.node not in still
        }
