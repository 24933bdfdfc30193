"""All peers of this region that are known, each once: by the authority, as this host was told, as
DNS says, and as they announce themselves.

Of two entries with one name, or with one address and port, that of the first of these sources
counts, and the other is dropped. The authority's list says which models a node has to do with, so
that in a large fleet nodes ask those alone that bring the same. While the authority is away its
last list counts on; but a node that DNS or mDNS sees elsewhere has moved since. Entries that name
this node itself (also by its address and port), another region, or no address that can be parsed
are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog

from cachd.control.reports import PeerBody
from cachd.listen import Address
from cachd.node.reporter import Told
from cachd.peer.directory import PeerAddress, PeerSource
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidIdentifier

_log = structlog.get_logger("cachd.node")
_SEEN = (PeerSource.DNS, PeerSource.MDNS)
Found = tuple[PeerSource, PeerAddress]


@dataclass(frozen=True, slots=True)
class KnownPeer:
    address: PeerAddress
    source: PeerSource


class PeerBook:
    """`told` is what the authority answered last, `found` what is known besides, in the order in
    which it counts; `own` is where this node serves chunks. From any thread."""

    def __init__(
        self,
        node: NodeId,
        region: str,
        own: Address,
        told: Callable[[], Told],
        found: Callable[[], Iterable[Found]],
    ) -> None:
        self._own = PeerAddress(node, own.host, own.port)
        self._region = region
        self._told = told
        self._found = found
        self._refused: set[str] = set()

    def known(self) -> list[KnownPeer]:
        """All of them."""
        return list(self._merged(self._told()))

    def of(self, model: str) -> list[PeerAddress]:
        """The peers that have to do with this model, or with which ones is not known; "": all."""
        told = self._told()
        strangers = {
            peer.node for peer in told.peers if model and peer.models and model not in peer.models
        }
        addresses = (known.address for known in self._merged(told))
        return [address for address in addresses if address.node_id.text not in strangers]

    def _merged(self, told: Told) -> Iterator[KnownPeer]:
        found = list(self._found())
        names, places = {self._own.node_id}, {self._own.place}
        for source, address in (*self._by_authority(told, found), *found):
            if address.node_id in names or address.place in places:
                continue
            names.add(address.node_id)
            places.add(address.place)
            if address.region in ("", self._region):
                yield KnownPeer(address, source)

    def _by_authority(self, told: Told, found: list[Found]) -> Iterator[Found]:
        """Without those that have moved since it was last heard of."""
        seen: dict[NodeId, PeerAddress] = {}
        if not told.lately:
            for source, address in found:
                if source in _SEEN:
                    seen.setdefault(address.node_id, address)
        for peer in told.peers:
            parsed = self._parsed(peer)
            if parsed is not None and seen.get(parsed.node_id, parsed).place == parsed.place:
                yield PeerSource.AUTHORITY, parsed

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
