"""Which peers a node asks: of its region, with its model, each once, and not itself."""

from __future__ import annotations

from cachd.control.reports import PeerBody
from cachd.listen import Address
from cachd.node.peer_book import PeerBook
from cachd.node.reporter import Told
from cachd.peer.directory import PeerAddress, PeerSource
from registry_core.domain.identifiers import NodeId

STATIC, DNS, MDNS = PeerSource.STATIC, PeerSource.DNS, PeerSource.MDNS
OWN = Address("10.0.0.100", 7421)


def told(node: str, *models: str, region: str = "eu", peer: str = "") -> PeerBody:
    return PeerBody(node, peer or f"10.1.0.{ord(node[0])}:7421", region, 1, "rack-7", list(models))


def names(peers: list[PeerAddress]) -> set[str]:
    return {address.node_id.text for address in peers}


def book(*peers: PeerBody, lately: bool = True, own: Address = OWN, **found: list[str]) -> PeerBook:
    """`found` is source -> entries."""
    others = [
        (PeerSource(source), PeerAddress.parse(text))
        for source, texts in found.items()
        for text in texts
    ]
    return PeerBook(NodeId("self"), "eu", own, lambda: Told(peers, lately), lambda: others)


def shown(peers: PeerBook) -> list[str]:
    return [f"{known.source} {known.address}" for known in peers.known()]


def test_peers_of_the_model_and_those_that_did_not_say() -> None:
    peers = book(told("a", "m", "n"), told("b", "n"), told("c"))
    assert names(peers.of("m")) == {"a", "c"}
    assert names(peers.of("")) == {"a", "b", "c"}
    assert peers.of("m")[0].zone == "rack-7"


def test_other_regions_and_oneself_are_left_out() -> None:
    peers = book(
        told("self", "m"), told("a", "m", region="us"), told("b", "m"),
        static=["self=10.0.0.9:1", "c=10.0.0.9:1@us", "d=10.0.0.10:1"],
    )  # fmt: skip
    assert names(peers.of("m")) == {"b", "d"}


def test_the_authority_knows_better_where_a_node_is() -> None:
    peers = book(
        told("a", "m", peer="10.0.0.2:7421"), told("b", "n"),
        static=["a=10.0.0.9:1", "b=10.0.0.9:1"],
    )  # fmt: skip
    assert [str(address) for address in peers.of("m")] == ["a=10.0.0.2:7421@eu/rack-7"]


def test_what_cannot_be_parsed_is_left_out() -> None:
    peers = book(told("a", "m", peer="nowhere"), told("b c", "m"), told("d", "m"))
    assert names(peers.of("m")) == {"d"}


def test_the_first_source_of_a_name_counts() -> None:
    peers = book(
        told("a", peer="10.0.0.1:1"),
        static=["a=10.0.1.1:1", "b=10.0.1.2:1"],
        dns=["a=10.0.2.1:1", "b=10.0.2.2:1", "c=10.0.2.3:1"],
        mdns=["a=10.0.3.1:1", "b=10.0.3.2:1", "c=10.0.3.3:1", "d=10.0.3.4:1"],
    )
    assert shown(peers) == [
        "authority a=10.0.0.1:1@eu/rack-7", "static b=10.0.1.2:1", "dns c=10.0.2.3:1",
        "mdns d=10.0.3.4:1",
    ]  # fmt: skip


def test_one_address_is_one_node_whatever_it_is_called() -> None:
    peers = book(
        told("a", peer="[fd00::7]:1"),
        dns=["gpu-7=[fd00:0::7]:1", "gpu-8=[fd00::8]:1"],
        mdns=["b=[fd00::8]:1"],
    )
    assert names(peers.of("")) == {"a", "gpu-8"}


def test_oneself_under_another_name_is_left_out() -> None:
    peers = book(
        told("old-name", peer="127.0.0.1:7421"), told("a", peer="127.0.0.1:7422"),
        own=Address("127.0.0.1", 7421),
        static=["x=localhost:7421", "y=[::ffff:127.0.0.1]:7421"], dns=["z=127.0.0.1:7421"],
    )  # fmt: skip
    assert names(peers.of("")) == {"a"}


def test_a_name_that_was_oneself_may_still_be_another() -> None:
    peers = book(static=["a=10.0.0.100:7421"], dns=["a=10.0.0.7:7421"])
    assert shown(peers) == ["dns a=10.0.0.7:7421"]


def test_while_the_authority_is_away_nodes_that_moved_are_where_they_are_seen() -> None:
    at = told("a", "m", peer="10.0.0.1:1"), told("b", "m", peer="10.0.0.2:1"), told("c", "n")
    elsewhere = {"static": ["b=10.0.1.2:1"], "dns": ["a=10.0.2.1:1"], "mdns": ["c=10.0.3.3:1"]}
    assert shown(book(*at, **elsewhere))[0] == "authority a=10.0.0.1:1@eu/rack-7"
    away = book(*at, lately=False, **elsewhere)
    assert shown(away) == [
        "authority b=10.0.0.2:1@eu/rack-7", "dns a=10.0.2.1:1", "mdns c=10.0.3.3:1",
    ]  # fmt: skip
    assert names(away.of("m")) == {"a", "b"}, "which models c has to do with is still known"
