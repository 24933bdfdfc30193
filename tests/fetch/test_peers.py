"""What a plan sees of peers: always as they are, though only what changed is written again."""

from __future__ import annotations

import random

import numpy as np

from cachd import limits
from cachd.fetch.peers import Peers
from cachd.fetch.placement import hashes_of
from cachd.fetch.roster import Roster
from cachd.fetch.view import PeerState
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId

SELF = NodeId("self")
NODES = [NodeId(f"node-{n}") for n in range(6)]
CHUNKS, FAILURES_MAX, SLOTS = 20, 3, 4


def roster_of(nodes: list[NodeId]) -> Roster:
    return Roster(PeerAddress(node, "10.0.0.1", 1) for node in nodes)


def peers_of(nodes: list[NodeId]) -> Peers:
    peers = Peers(SELF, "", 1, CHUNKS, FAILURES_MAX)
    peers.set(roster_of(nodes), 0.0)
    return peers


def change(peers: Peers, node: NodeId, dice: random.Random) -> None:
    peer = peers[node]
    peer.state = dice.choice(list(PeerState))
    peer.held = np.array([dice.random() < 0.5 for _ in range(CHUNKS)])
    peer.in_flight = dice.randrange(SLOTS + 2)
    peer.retry_at_s, peer.progressed_s = dice.uniform(0, 2), dice.uniform(0, 2)
    peer.failures, peer.follow_failures = dice.randrange(FAILURES_MAX + 1), dice.randrange(2)
    peer.busy, peer.banned = dice.randrange(2), dice.choice(["", "", "banned"])


def test_a_view_is_as_the_peers_are() -> None:
    dice = random.Random(5)
    peers = peers_of(NODES)
    for _ in range(200):
        for node in dice.sample(NODES, dice.randrange(3)):
            change(peers, node, dice)
        view = peers.view(SLOTS, 1.0)
        there = [peer for peer in peers.values() if peer.usable(FAILURES_MAX)]
        assert list(view.nodes) == [peer.address.node_id for peer in there]
        assert view.hashes.tolist() == hashes_of(view.nodes).tolist()
        for row, peer in enumerate(there):
            free = max(0, SLOTS - peer.in_flight) if peer.retry_at_s <= 1.0 else 0
            assert view.held[row].tolist() == peer.held.tolist()
            assert (view.slots_free[row], view.progressed_s[row]) == (free, peer.progressed_s)
            assert (view.failing[row], view.silent[row]) == (peer.failing, peer.silent)
            assert view.busy[row] == (peer.busy > 0)
            states = view.unknown[row], view.without[row], view.filling[row]
            assert states == (
                peer.state is PeerState.UNKNOWN,
                peer.state is PeerState.WITHOUT,
                peer.state is PeerState.FILLING,
            )


def test_who_leaves_the_list_is_forgotten_once_nothing_is_under_way_with_it() -> None:
    peers = peers_of(NODES)
    peers[NODES[0]].in_flight = 1
    peers[NODES[1]].following = True
    peers.view(SLOTS, 0.0)
    fewer = roster_of(NODES[3:])
    assert [address.node_id for address in peers.set(fewer, 0.0)] == [NODES[1]]
    assert list(peers) == [NODES[0], NODES[1], *NODES[3:]]
    peers[NODES[0]].in_flight, peers[NODES[1]].following = 0, False
    assert peers.set(fewer, 0.0) == []
    assert list(peers) == NODES[3:]
    assert list(peers.view(SLOTS, 0.0).nodes) == NODES[3:]


def test_of_a_crowd_the_others_are_known_by_their_number_and_hashes() -> None:
    crowd = [SELF, *(NodeId(f"one-of-{n}") for n in range(3 * limits.PEERS_MAX))]
    peers = peers_of(crowd)
    assert len(peers) + len(peers.others) == len(crowd) - 1
    assert SELF not in peers
    others = [node for node in crowd if node != SELF and node not in peers]
    assert peers.others.hashes.tolist() == sorted(hashes_of(others).tolist())
    assert not peers_of(NODES).others


def test_who_is_followed_banned_or_backing_off_is_not_to_be_connected_to() -> None:
    peers = peers_of(NODES)
    peers[NODES[0]].following = True
    peers[NODES[1]].banned = "it gave noise"
    peers[NODES[2]].follow_at_s = 5.0
    assert [peer.address.node_id for peer in peers.to_follow(4.9)] == NODES[3:]
    peers[NODES[0]].following = False
    assert [peer.address.node_id for peer in peers.to_follow(5.0)] == [NODES[0], *NODES[2:]]
