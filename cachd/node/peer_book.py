"""Who else of this region may have a version: as the authority says, and as this host was told.

The authority's list wins where both name a node, since it is newer. It says which models a node has
to do with, so that in a large fleet nodes ask those alone that bring the same. Entries that name
this node itself, another region, or no address that can be parsed are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog

from cachd.control.reports import PeerBody
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidIdentifier

_log = structlog.get_logger("cachd.node")


class PeerBook:
    """`told` is what the authority answered last. From any thread."""

    def __init__(
        self,
        node: NodeId,
        region: str,
        static: Sequence[PeerAddress],
        told: Callable[[], Iterable[PeerBody]],
    ) -> None:
        self._node = node
        self._region = region
        self._static = static
        self._told = told
        self._refused: set[str] = set()

    def of(self, model: str) -> list[PeerAddress]:
        """The peers that have to do with this model, or with which ones is not known; "": all."""
        found = {address.node_id: address for address in self._static}
        for peer in self._told():
            address = self._parsed(peer)
            if address is None:
                continue
            found.pop(address.node_id, None)
            if not model or not peer.models or model in peer.models:
                found[address.node_id] = address
        return [
            address
            for address in found.values()
            if address.node_id != self._node and address.region in ("", self._region)
        ]

    def _parsed(self, peer: PeerBody) -> PeerAddress | None:
        zone = f"/{peer.zone}" if peer.zone else ""
        text = f"{peer.node}={peer.peer}@{peer.region}{zone}"
        try:
            return PeerAddress.parse(text)
        except InvalidIdentifier as error:
            if text not in self._refused:
                self._refused.add(text)
                _log.warning("peer left out", peer=text, error=str(error))
            return None
