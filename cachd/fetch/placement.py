"""Rendezvous hashing: of the nodes that want a chunk nobody has, which one claims it. Pure.

Every node computes the same answer from the same set of nodes, and when the set changes by one
node only that node's share moves.
"""

from __future__ import annotations

from collections.abc import Iterable

import xxhash

from registry_core.domain.identifiers import ChunkId, NodeId


def owner(chunk_id: ChunkId, nodes: Iterable[NodeId]) -> NodeId:
    """The node with the highest xxh3-64 of `node id || chunk id`. `nodes` is not empty."""
    return max(
        nodes, key=lambda node: (xxhash.xxh3_64_intdigest(node.text.encode() + chunk_id.raw), node)
    )
