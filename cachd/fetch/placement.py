"""Which node claims which chunk from the origin: rendezvous hashing with bounded loads. Pure.

Every node computes the same from the same set of nodes, without a word between them. Chunks go in
groups of neighbours; each group to the node that rendezvous hashing (Thaler and Ravishankar, 1998)
prefers among those that have not got their even share yet (Mirrokni, Thorup and Zadimoghaddam,
"Consistent Hashing with Bounded Loads", 2016), because the node with the largest share is the last
to finish, and makes all others wait. When the set changes by one node, most groups stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xxhash

from registry_core.domain.identifiers import ChunkId, NodeId

GROUPS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Owners:
    of_groups: Sequence[NodeId]
    per_group: int

    def of(self, number: int) -> NodeId:
        """Who is to claim the chunk of that number."""
        return self.of_groups[number // self.per_group]


class Placement:
    """Of the distinct chunks of a version, in their order. Remembers the last answer."""

    def __init__(self, chunk_ids: Sequence[ChunkId]) -> None:
        self._per_group = max(1, -(-len(chunk_ids) // GROUPS_MAX))
        self._seeds = [one.raw for one in chunk_ids[:: self._per_group]]
        self._nodes: tuple[NodeId, ...] = ()
        self._owners: list[NodeId] = []

    def owners(self, nodes: Iterable[NodeId]) -> Owners:
        """Of `nodes` (at least one, in any order), which is to claim which chunk."""
        ordered = tuple(sorted(nodes, key=lambda node: node.text))
        if ordered != self._nodes:
            self._nodes, self._owners = ordered, _assign(self._seeds, ordered)
        return Owners(self._owners, self._per_group)


def _assign(seeds: Sequence[bytes], nodes: Sequence[NodeId]) -> list[NodeId]:
    share = -(-len(seeds) // len(nodes))
    loads = dict.fromkeys(nodes, 0)
    owners = []
    for seed in seeds:
        open_nodes = [node for node in nodes if loads[node] < share]
        best = max(open_nodes, key=lambda node: (_weight(node, seed), node.text))
        loads[best] += 1
        owners.append(best)
    return owners


def _weight(node: NodeId, seed: bytes) -> int:
    return xxhash.xxh3_64_intdigest(node.text.encode() + seed)
