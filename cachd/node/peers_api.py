"""Which peers this node knows, and from where."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.control.reports import KnownPeerBody, KnownPeersBody
from cachd.listen import Address
from cachd.node.peer_book import KnownPeer


class PeersApi:
    def __init__(self, known: Callable[[], list[KnownPeer]]) -> None:
        self._known = known

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/peers", self.peers,
                      "The peers that this node may ask, and where it knows them from",
                      KnownPeersBody),
        ]  # fmt: skip

    async def peers(self, _: web.Request) -> web.StreamResponse:
        return answer(KnownPeersBody([_body(known) for known in self._known()]))


def _body(known: KnownPeer) -> KnownPeerBody:
    peer = known.address
    place = str(Address(peer.host, peer.port))
    return KnownPeerBody(peer.node_id.text, place, peer.region, peer.zone, known.source.value)
