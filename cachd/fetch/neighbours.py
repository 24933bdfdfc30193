"""Whom to follow when there are too many to follow all. Pure.

Nodes are put on rings, in an order that is random but the same for all; neighbours are those before
and after on any ring. That is a random graph in which everybody has about as many neighbours, who
are each other's neighbours, and any two nodes are a few steps apart (Law and Siu, "Distributed
construction of random expander networks", 2003). When a node comes or goes, only those beside it
notice. On half of the rings only nodes of other zones count, so that at most half of the neighbours
are of one's own zone: chunks would circle within a zone otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cachd import limits
from cachd.fetch.placement import Hashes, hashes_of, mixed
from cachd.fetch.roster import Roster
from registry_core.domain.identifiers import NodeId

RINGS = 16


def neighbours(self_id: NodeId, roster: Roster, zone: str, seed: int) -> list[NodeId]:
    """Of the roster's nodes, in its order, those to follow, not `self_id`, which is in `zone`; all
    if they are few."""
    if len(roster) - (self_id in roster) <= limits.PEERS_MAX:
        return [node for node in roster.nodes if node != self_id]
    own = hashes_of([self_id])
    chosen = {place for ring in _rings(roster, zone, seed) for place in ring.beside(own)}
    return [roster.nodes[place] for place in sorted(chosen) if roster.nodes[place] != self_id]


@dataclass(frozen=True, slots=True)
class _Ring:
    """Hashes in ascending order, salted, with the places of their nodes in the roster."""

    salt: Hashes
    hashes: Hashes
    places: NDArray[np.intp]

    def beside(self, own: Hashes) -> tuple[int, int]:
        """Who comes next, and who before."""
        here = mixed(own ^ self.salt)[0]
        at = int(self.hashes.searchsorted(here))
        count = len(self.hashes)
        after = at + (self.hashes[at % count] == here)  # the next one, not the node itself
        return int(self.places[after % count]), int(self.places[at - 1])


@functools.lru_cache(16)
def _rings(roster: Roster, zone: str, seed: int) -> Sequence[_Ring]:
    everywhere = np.arange(len(roster))
    elsewhere = np.flatnonzero(roster.zones != zone)
    rings = []
    for ring in range(RINGS):
        salt = mixed(np.array([seed * RINGS + ring], np.uint64))
        among = elsewhere if ring % 2 and len(elsewhere) else everywhere
        hashes = mixed(roster.hashes[among] ^ salt)
        order = hashes.argsort()
        rings.append(_Ring(salt, hashes[order], among[order]))
    return rings
