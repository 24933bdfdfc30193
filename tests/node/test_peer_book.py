"""Which peers a node asks: of its region, with its model, and not itself."""

from __future__ import annotations

from cachd.control.reports import PeerBody
from cachd.node.peer_book import PeerBook
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId


def told(node: str, *models: str, region: str = "eu", peer: str = "10.0.0.1:7421") -> PeerBody:
    return PeerBody(node, peer, region, 1, "rack-7", list(models))


def names(peers: list[PeerAddress]) -> set[str]:
    return {address.node_id.text for address in peers}


def book(*peers: PeerBody, static: tuple[str, ...] = ()) -> PeerBook:
    known = [PeerAddress.parse(text) for text in static]
    return PeerBook(NodeId("self"), "eu", known, lambda: peers)


def test_peers_of_the_model_and_those_that_did_not_say() -> None:
    peers = book(told("a", "m", "n"), told("b", "n"), told("c"))
    assert names(peers.of("m")) == {"a", "c"}
    assert names(peers.of("")) == {"a", "b", "c"}
    assert peers.of("m")[0].zone == "rack-7"


def test_other_regions_and_oneself_are_left_out() -> None:
    peers = book(
        told("self", "m"), told("a", "m", region="us"), told("b", "m"),
        static=("self=10.0.0.9:1", "c=10.0.0.9:1@us", "d=10.0.0.9:1"),
    )  # fmt: skip
    assert names(peers.of("m")) == {"b", "d"}


def test_the_authority_knows_better_where_a_node_is() -> None:
    peers = book(
        told("a", "m", peer="10.0.0.2:7421"), told("b", "n"),
        static=("a=10.0.0.9:1", "b=10.0.0.9:1"),
    )  # fmt: skip
    assert [str(address) for address in peers.of("m")] == ["a=10.0.0.2:7421@eu/rack-7"]


def test_what_cannot_be_parsed_is_left_out() -> None:
    peers = book(told("a", "m", peer="nowhere"), told("b c", "m"), told("d", "m"))
    assert names(peers.of("m")) == {"d"}
