"""Which chunks peers have announced to push, and until when it pays to wait for them. Pure.

A peer that claims a chunk will push it. How long that takes, from the claim to the chunk, depends
on origin and links, so it is learned from what nine in ten of the last ones took. Before there are
enough to tell, it may take as long as any claim.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from cachd.fetch.settings import FetchSettings
from registry_core.domain.identifiers import NodeId

_SAMPLES, _SAMPLES_MIN = 64, 8


@dataclass(frozen=True, slots=True)
class _Claim:
    node: NodeId
    at_s: float


class ExpectedPushes:
    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._claims: dict[int, _Claim] = {}
        self._taken_s: deque[float] = deque(maxlen=_SAMPLES)
        self._late_s = settings.claim_timeout_s
        self._held_up_s = 0.0

    def held_up(self, until_s: float) -> None:
        """This node's own limit made what comes wait until then: to ask again would not help."""
        self._held_up_s = until_s

    def promised(self, node: NodeId, numbers: Collection[int], now_s: float) -> None:
        """All that this peer is going to push, as it says now."""
        self._claims = {
            number: claim
            for number, claim in self._claims.items()
            if claim.node != node or number in numbers
        }
        for number in numbers:
            self._claims.setdefault(number, _Claim(node, now_s))

    def came(self, node: NodeId | None, number: int, now_s: float) -> NodeId | None:
        """The chunk came from `node` (None: no peer). Returns who else is about to push it."""
        claim = self._claims.pop(number, None)
        if claim is None:
            return None
        if claim.node != node:
            return claim.node
        self._taken_s.append(now_s - claim.at_s)
        self._late_s = self._lateness()
        return None

    def gone(self, node: NodeId) -> None:
        """Nothing comes from this peer any more."""
        self._claims = {n: claim for n, claim in self._claims.items() if claim.node != node}

    def expected(self, now_s: float) -> frozenset[int]:
        """Numbers of the chunks that are worth waiting for."""
        return frozenset(
            number
            for number, claim in self._claims.items()
            if now_s - max(claim.at_s, self._held_up_s) <= self._late_s
        )

    def _lateness(self) -> float:
        if len(self._taken_s) < _SAMPLES_MIN:
            return self._settings.claim_timeout_s
        ninth = sorted(self._taken_s)[len(self._taken_s) * 9 // 10]
        usual_s = self._settings.late_factor * ninth + self._settings.hedge_s
        return min(self._settings.claim_timeout_s, usual_s)
