"""The nodes of a region as they are listed. Never changes, so that whatever depends on the list
alone is computed once for all who share it: fetches of a node, nodes of a simulation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cachd.fetch.placement import Nodes, hashes_of
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId


class Roster:
    """Nodes in the order listed. If one is listed twice, its last address counts."""

    def __init__(self, addresses: Iterable[PeerAddress] = ()) -> None:
        self.addresses = tuple(addresses)
        self._by_node = {address.node_id: address for address in self.addresses}
        self.nodes = tuple(self._by_node)
        self.zones = np.array([address.zone for address in self._by_node.values()], np.str_)
        self.hashes = hashes_of(self.nodes)
        self.everybody = Nodes(np.sort(self.hashes))

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node: NodeId) -> bool:
        return node in self._by_node

    def __getitem__(self, node: NodeId) -> PeerAddress:
        return self._by_node[node]
