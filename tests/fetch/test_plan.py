"""The planner on pure data: no clock, no socket, and rules that hold for any swarm."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cachd import limits
from cachd.fetch.placement import GROUPS_MAX, Placement
from cachd.fetch.plan import Assignment, Fixed, PeerState, PeerView, SwarmView, Wanted, holds, plan
from cachd.fetch.settings import FetchSettings
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Chunk

SETTINGS = FetchSettings()
SELF = NodeId("self")
NODES = [NodeId(f"node-{n}") for n in range(4)]
MIB = 1 << 20


def wanted(number: int, length: int = MIB) -> Wanted:
    return Wanted(number, Chunk(ChunkId(number.to_bytes(32, "big")), length))


def bitmap(*numbers: int) -> bytes:
    bits = bytearray(16)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return bytes(bits)


def peer(node: NodeId, *held: int, **changes: Any) -> PeerView:
    given_ = {"slots_free": 8, "progressed_s": 99.0, "state": PeerState.FILLING}
    return PeerView(node=node, held=bitmap(*held), **{**given_, **changes})


def view(count: int, *peers: PeerView, **changes: Any) -> SwarmView:
    given_: dict[str, Any] = {
        "now_s": 100.0,
        "began_s": 0.0,
        "self_id": SELF,
        "missing": [wanted(number) for number in range(count)],
        "local": frozenset(),
        "peers": peers,
        "placement": Placement([wanted(number).chunk.id for number in range(128)]),
        "expected": frozenset(),
        "origin_slots": 4,
        "origin_in_flight": 0,
        "push_backlog": 0,
        "stalled": False,
        "origin_lacks": frozenset(),
        "threads_free": 8,
        "bytes_free": limits.OUTSTANDING_MAX,
    }
    return SwarmView(**{**given_, **changes})


def planned(seen: SwarmView, seed: int = 1) -> list[Assignment]:
    return plan(seen, SETTINGS, random.Random(seed))


def by_source(assignments: list[Assignment]) -> dict[object, set[int]]:
    found: dict[object, set[int]] = {}
    for assignment in assignments:
        found.setdefault(assignment.source, set()).add(assignment.wanted.number)
    return found


def test_alone_everything_comes_from_the_origin_within_its_slots() -> None:
    assert len(planned(view(20))) == 4
    assert {a.source for a in planned(view(20))} == {Fixed.ORIGIN}


def test_the_local_cache_comes_first() -> None:
    seen = view(3, peer(NODES[0], 0, 1, 2), local={wanted(1).chunk.id})
    assert planned(seen)[0] == Assignment(wanted(1), Fixed.LOCAL)
    assert by_source(planned(seen))[NODES[0]] == {0, 2}


def test_peers_come_before_the_origin() -> None:
    found = by_source(planned(view(2, peer(NODES[0], 0, state=PeerState.COMPLETE))))
    assert found == {NODES[0]: {0, 1}}


def test_the_rarest_chunk_goes_first() -> None:
    peers = [peer(NODES[0], 0, 1, 2, 3), peer(NODES[1], 0, 1, 2), peer(NODES[2], 0, 1)]
    seen = view(4, *peers, threads_free=2)
    assert [a.wanted.number for a in planned(seen)] == [3, 2]


def test_ties_are_broken_at_random() -> None:
    seen = view(50, peer(NODES[0], *range(50)), threads_free=1)
    assert len({planned(seen, seed)[0].wanted.number for seed in range(50)}) > 10


def test_load_is_spread_over_holders() -> None:
    peers = [peer(node, *range(8), slots_free=4) for node in NODES[:2]]
    assert Counter(a.source for a in planned(view(8, *peers))) == {NODES[0]: 4, NODES[1]: 4}


def test_a_chunk_that_a_busy_peer_holds_is_waited_for() -> None:
    assert planned(view(1, peer(NODES[0], 0, slots_free=0))) == []


def test_but_not_for_ever() -> None:
    stuck = peer(NODES[0], 0, slots_free=0, progressed_s=100 - SETTINGS.claim_timeout_s - 1)
    assert by_source(planned(view(1, stuck))) == {Fixed.ORIGIN: {0}}


def test_a_peer_that_is_always_busy_is_asked_only_for_what_the_origin_cannot_give() -> None:
    long_ago_s = 100 - SETTINGS.claim_timeout_s - 1
    busy = peer(NODES[0], 0, 1, busy=True, progressed_s=long_ago_s)
    seen = view(2, busy, origin_lacks={wanted(1).chunk.id})
    assert by_source(planned(seen)) == {Fixed.ORIGIN: {0}, NODES[0]: {1}}


def test_a_failing_peer_is_not_waited_for() -> None:
    assert by_source(planned(view(1, peer(NODES[0], 0, slots_free=0, failing=True))))


def test_each_chunk_that_nobody_has_is_claimed_by_exactly_one_node() -> None:
    everybody = [SELF, *NODES]
    claimed: Counter[int] = Counter()
    for node in everybody:
        others = [peer(other) for other in everybody if other != node]
        missing = [wanted(number) for number in range(100)]
        # Not so far behind as to claim nothing, and too far to help the others.
        while made := planned(view(0, *others, self_id=node, missing=missing, push_backlog=2)):
            assert {a.source for a in made} == {Fixed.ORIGIN}
            claimed.update(a.wanted.number for a in made)
            missing = [one for one in missing if one not in {a.wanted for a in made}]
    assert set(claimed.values()) == {1}
    assert len(claimed) == 100


def test_a_node_without_progress_loses_its_share() -> None:
    stale = peer(NODES[0], progressed_s=100 - SETTINGS.claim_timeout_s - 1)
    assert len(planned(view(4, stale))) == 4


def test_a_node_that_is_expected_to_begin_keeps_its_share_for_a_moment() -> None:
    idle = peer(NODES[0], state=PeerState.WITHOUT)
    early = view(20, idle, now_s=0.4)
    owners = early.placement.owners([SELF, NODES[0]])
    ours = {n for n in range(20) if owners.of(n) == SELF}
    assert by_source(planned(early))[Fixed.ORIGIN] < ours
    later = view(0, idle, missing=[wanted(n) for n in range(20) if n not in ours], now_s=0.6)
    assert len(planned(later)) == 4


def test_the_origin_waits_for_first_answers() -> None:
    silent = peer(NODES[0], state=PeerState.UNKNOWN)
    assert planned(view(4, silent, now_s=0.2)) == []
    assert len(planned(view(4, silent, now_s=0.4))) == 4


def test_when_nothing_comes_a_node_helps_itself() -> None:
    owners = view(0).placement.owners([SELF, NODES[0]])
    theirs = [wanted(n) for n in range(40) if owners.of(n) == NODES[0]][:2]
    assert planned(view(0, peer(NODES[0]), missing=theirs)) == []
    helped = planned(view(0, peer(NODES[0]), missing=theirs, stalled=True))
    assert [a.source for a in helped] == [Fixed.ORIGIN, Fixed.ORIGIN]


def test_what_the_origin_lacks_is_not_asked_of_it() -> None:
    assert planned(view(1, origin_lacks={wanted(0).chunk.id})) == []


def test_outstanding_bytes_are_bounded() -> None:
    big = [wanted(n, 8 * MIB) for n in range(20)]
    seen = view(0, missing=big, origin_slots=20, threads_free=20, bytes_free=20 * MIB)
    assert len(planned(seen)) == 2


def test_a_huge_version_is_planned_on_a_sample() -> None:
    missing = [wanted(n) for n in range(3 * limits.PLAN_WINDOW_CHUNKS)]
    placement = Placement([one.chunk.id for one in missing])
    assert len(planned(view(0, missing=missing, placement=placement))) == 4


def test_shares_are_even_and_mostly_stay_when_a_node_leaves() -> None:
    placement = Placement([wanted(n).chunk.id for n in range(500)])
    before = placement.owners(NODES)
    assert set(Counter(before.of(n) for n in range(500)).values()) == {125}
    assert [before.of(n) for n in range(500)] == [
        placement.owners(NODES[::-1]).of(n) for n in range(500)
    ], "in whatever order nodes are known"
    after = placement.owners(NODES[:-1])
    stayed = sum(after.of(n) == before.of(n) for n in range(500) if before.of(n) != NODES[-1])
    assert stayed > 250


def test_chunks_of_a_huge_version_are_placed_in_groups() -> None:
    count = 3 * GROUPS_MAX - 1
    owners = Placement([wanted(n).chunk.id for n in range(count)]).owners(NODES)
    assert owners.of(0) == owners.of(2)
    assert {owners.of(n) for n in range(count)} == set(NODES)


def test_what_will_be_pushed_is_not_asked_for() -> None:
    holder = peer(NODES[0], 0, 1, state=PeerState.FILLING)
    assert by_source(planned(view(2, holder, expected={0})))[NODES[0]] == {1}


def test_a_region_asks_its_origin_for_so_much_at_once() -> None:
    others = [peer(NodeId(f"n{n}")) for n in range(2 * limits.ORIGIN_AT_ONCE)]
    seen = view(100, *others, threads_free=64, origin_slots=64)
    assert len(planned(seen)) == 1
    assert planned(view(100, *others, origin_in_flight=1)) == []


def test_who_is_behind_in_pushing_claims_no_more() -> None:
    assert planned(view(20, push_backlog=limits.PUSH_BACKLOG_MAX)) == []


def test_who_has_claimed_its_share_helps_who_is_behind() -> None:
    owners = view(0).placement.owners([SELF, NODES[0]])
    theirs = [wanted(n) for n in range(40) if owners.of(n) == NODES[0]]
    claims = planned(view(0, peer(NODES[0]), missing=theirs))
    assert [a.source for a in claims] == [Fixed.ORIGIN]
    assert planned(view(0, peer(NODES[0]), missing=theirs[:2])) == [], "but not for its last ones"
    assert planned(view(0, peer(NODES[0]), missing=theirs, push_backlog=2)) == []


peers_strategy = st.lists(
    st.builds(
        peer,
        node=st.just(NODES[0]),
        state=st.sampled_from(PeerState),
        slots_free=st.integers(0, 5),
        progressed_s=st.floats(0, 100),
        failing=st.booleans(),
        busy=st.booleans(),
    ),
    max_size=4,
)


@given(
    peers=peers_strategy,
    held=st.lists(st.sets(st.integers(0, 19)), min_size=4, max_size=4),
    local=st.sets(st.integers(0, 19)),
    lacks=st.sets(st.integers(0, 19)),
    now_s=st.floats(0, 200),
    origin_slots=st.integers(0, 4),
    threads_free=st.integers(0, 12),
    bytes_free=st.integers(0, 16 * MIB),
    seed=st.integers(0, 9),
)
def test_rules_that_always_hold(
    peers: list[PeerView],
    held: list[set[int]],
    local: set[int],
    lacks: set[int],
    seed: int,
    **bounds: Any,
) -> None:
    named = [
        peer(
            NODES[n],
            *held[n],
            state=p.state,
            slots_free=p.slots_free,
            progressed_s=p.progressed_s,
            failing=p.failing,
            busy=p.busy,
        )
        for n, p in enumerate(peers)
    ]
    seen = view(
        20,
        *named,
        local={wanted(n).chunk.id for n in local},
        origin_lacks={wanted(n).chunk.id for n in lacks},
        **bounds,
    )
    made = planned(seen, seed)
    numbers = [a.wanted.number for a in made]
    assert len(numbers) == len(set(numbers)), "one attempt per chunk"
    assert len(made) <= seen.threads_free
    assert sum(a.wanted.chunk.length for a in made) <= seen.bytes_free
    taken = Counter(a.source for a in made)
    assert taken[Fixed.ORIGIN] <= seen.origin_slots
    by_node = {p.node: p for p in named}
    for assignment in made:
        number = assignment.wanted.number
        match assignment.source:
            case Fixed.LOCAL:
                assert number in local
            case Fixed.ORIGIN:
                assert number not in lacks | local
                fresh = [
                    p
                    for p in named
                    if p.slots_free and holds(p, number) and not (p.failing or p.busy)
                ]
                assert not fresh, "peers come first"
            case NodeId() as node:
                assert holds(by_node[node], number)
                assert taken[node] <= by_node[node].slots_free
