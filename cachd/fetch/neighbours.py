"""Whom to follow when there are too many to follow all. Pure.

Nodes are put on rings, in an order that is random but the same for all; neighbours are those before
and after on any ring. That is a random graph in which everybody has about as many neighbours, who
are each other's neighbours, and any two nodes are a few steps apart (Law and Siu, "Distributed
construction of random expander networks", 2003). When a node comes or goes, only those beside it
notice. On half of the rings only nodes of other zones count, so that at most half of the neighbours
are of one's own zone: chunks would circle within a zone otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cachd import limits
from cachd.fetch.placement import Hashes, hashes_of, mixed
from registry_core.domain.identifiers import NodeId

RINGS = 16


def neighbours(
    self_id: NodeId, nodes: Sequence[NodeId], zones: Sequence[str], zone: str, seed: int
) -> list[NodeId]:
    """Of `nodes`, without `self_id` and each in its zone, those to follow; all if they are few."""
    if len(nodes) <= limits.PEERS_MAX:
        return list(nodes)
    hashes, own = hashes_of(nodes), hashes_of([self_id])
    elsewhere = np.flatnonzero(np.array([other != zone for other in zones]))
    everywhere = np.arange(len(nodes))
    chosen: set[int] = set()
    for ring in range(RINGS):
        salt = mixed(np.array([seed * RINGS + ring], np.uint64))
        among = elsewhere if ring % 2 and len(elsewhere) else everywhere
        chosen.update(_beside(mixed(own ^ salt), mixed(hashes ^ salt), among))
    return [nodes[place] for place in sorted(chosen)]


def _beside(own: Hashes, hashes: Hashes, among: NDArray[np.intp]) -> tuple[int, int]:
    """Who comes next on the ring, and who before."""
    ahead = hashes[among] - own  # modulo 2**64
    return int(among[ahead.argmin()]), int(among[ahead.argmax()])
