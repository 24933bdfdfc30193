"""Whom nodes of a crowd follow: few, spread over zones, and yet a way to everybody."""

from __future__ import annotations

from collections import Counter

from cachd import limits
from cachd.fetch.neighbours import RINGS, neighbours
from cachd.fetch.roster import Roster
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId

COUNT = 300
NODES = [NodeId(f"node-{n}") for n in range(COUNT)]


def roster_of(nodes: list[NodeId], zone_of: dict[NodeId, str] | None = None) -> Roster:
    zones = zone_of or {}
    return Roster(PeerAddress(one, "10.0.0.1", 1, "", zones.get(one, "")) for one in nodes)


def graph(zone_of: dict[NodeId, str], nodes: list[NodeId] = NODES) -> dict[NodeId, set[NodeId]]:
    roster = roster_of(nodes, zone_of)
    return {node: set(neighbours(node, roster, zone_of.get(node, ""), seed=7)) for node in nodes}


def reached(edges: dict[NodeId, set[NodeId]], steps: int) -> set[NodeId]:
    there = {NODES[0]}
    for _ in range(steps):
        there |= {near for node in there for near in edges.get(node, set())}
    return there


def test_few_follow_all() -> None:
    others = NODES[: limits.PEERS_MAX]
    assert neighbours(NodeId("self"), roster_of(others), "", 1) == others
    own = NODES[limits.PEERS_MAX]
    assert neighbours(own, roster_of([*others, own]), "", 1) == others


def test_it_is_all_one_whether_a_node_is_listed_itself() -> None:
    for node in NODES[:20]:
        without = roster_of([other for other in NODES if other != node])
        assert neighbours(node, without, "", 1) == neighbours(node, roster_of(NODES), "", 1)


def test_in_a_crowd_each_follows_about_as_many_who_follow_it_too() -> None:
    edges = graph({})
    assert all(2 * RINGS - 6 <= len(near) <= 2 * RINGS for near in edges.values())
    assert all(node in edges[near] for node in NODES for near in edges[node])
    assert reached(edges, 3) == set(NODES)


def test_another_version_has_other_neighbours() -> None:
    one, two = (set(neighbours(NODES[0], roster_of(NODES), "", s)) for s in (1, 2))
    assert len(one & two) < RINGS


def test_when_a_node_goes_only_those_beside_it_notice() -> None:
    before, after = graph({}), graph({}, NODES[:-1])
    gone = NODES[-1]
    for node in NODES[:-1]:
        assert len(before[node] - after[node] - {gone}) == 0
        assert len(after[node] - before[node]) <= 2 * (gone in before[node]) * RINGS
    assert sum(before[node] != after[node] for node in NODES[:-1]) <= 2 * RINGS


def test_at_most_half_are_of_ones_own_zone() -> None:
    """Even where nine of ten nodes are."""
    zone_of = {node: "small" if n % 10 == 0 else "large" for n, node in enumerate(NODES)}
    edges = graph(zone_of)
    for node in NODES:
        zones = Counter(zone_of[near] for near in edges[node])
        assert zones[zone_of[node]] <= RINGS + 4
    cut = {node: {n for n in near if zone_of[n] == "large"} for node, near in edges.items()}
    assert len(reached(cut, 5)) >= COUNT * 9 // 10, "without the small zone the rest hangs together"
