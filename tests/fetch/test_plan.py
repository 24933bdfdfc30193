"""The planner on pure data: no clock, no socket, and rules that hold for any swarm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachd import limits
from cachd.fetch.placement import GROUPS_MAX, Nodes, Owners, Placement, hashes_of
from cachd.fetch.plan import Assignment, Wanted, plan, push_backlog_max
from cachd.fetch.settings import FetchSettings
from cachd.fetch.view import Fixed, PeerState, PeersView, SwarmView
from cachd.peer.bitmaps import Mask
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Chunk

SETTINGS = FetchSettings()
SELF = NodeId("self")
NODES = [NodeId(f"node-{n}") for n in range(4)]
MIB = 1 << 20


def wanted(number: int, length: int = MIB) -> Wanted:
    return Wanted(number, Chunk(ChunkId(sha256(number.to_bytes(4)).digest()), length))


CHUNKS = [wanted(number).chunk for number in range(512)]
OWN = Placement([chunk.id for chunk in CHUNKS])
NOBODY = Nodes()
RUN = limits.CROWD_RUN_CHUNKS


def nodes_of(nodes: Iterable[NodeId]) -> Nodes:
    return Nodes(np.sort(hashes_of(nodes)))


@dataclass(frozen=True)
class Peer:
    node: NodeId
    state: PeerState
    held: Mask
    slots_free: int
    progressed_s: float
    failing: bool = False
    busy: bool = False
    silent: bool = False


def in_columns(peers: Sequence[Peer], chunks: int) -> PeersView:
    def truths(says: Callable[[Peer], bool]) -> Mask:
        return np.array([says(peer) for peer in peers], np.bool_)

    nodes = [peer.node for peer in peers]
    return PeersView(
        nodes=nodes,
        hashes=hashes_of(nodes),
        held=np.array([peer.held for peer in peers], np.bool_).reshape(len(peers), chunks),
        slots_free=np.array([peer.slots_free for peer in peers], np.intp),
        progressed_s=np.array([peer.progressed_s for peer in peers], np.float64),
        unknown=truths(lambda peer: peer.state is PeerState.UNKNOWN),
        without=truths(lambda peer: peer.state is PeerState.WITHOUT),
        filling=truths(lambda peer: peer.state is PeerState.FILLING),
        failing=truths(lambda peer: peer.failing),
        busy=truths(lambda peer: peer.busy),
        silent=truths(lambda peer: peer.silent),
    )


def mask(numbers: Iterable[int], count: int = len(CHUNKS)) -> Mask:
    made = np.zeros(count, np.bool_)
    made[list(numbers)] = True
    return made


def peer(node: NodeId, *held: int, **changes: Any) -> Peer:
    given_ = {"slots_free": 8, "progressed_s": 99.0, "state": PeerState.FILLING}
    whole = changes.get("state") is PeerState.COMPLETE
    return Peer(
        node=node, held=mask(range(len(CHUNKS)) if whole else held), **{**given_, **changes}
    )


def view(lacking: int | Iterable[int], *peers: Peer, **changes: Any) -> SwarmView:
    """`lacking`: the first so many chunks, or these. Masks can be given as numbers."""
    given_: dict[str, Any] = {
        "now_s": 100.0,
        "began_s": 0.0,
        "answered_s": None,
        "self_id": SELF,
        "chunks": CHUNKS,
        "in_flight": (),
        "late": {},
        "local": (),
        "others": NOBODY,
        "placement": OWN,
        "expected": (),
        "under_way": {},
        "origin_slots": 4,
        "origin_in_flight": 0,
        "push_backlog": 0,
        "yields_until_s": -math.inf,
        "patience_s": SETTINGS.claim_timeout_s,
        "stalled": 0,
        "origin_lacks": (),
        "threads_free": 8,
        "bytes_free": limits.OUTSTANDING_MAX,
    }
    numbers = sorted(range(lacking) if isinstance(lacking, int) else lacking)
    fields = {**given_, **changes}
    for name in ("in_flight", "local", "expected", "origin_lacks"):
        fields[name] = mask(fields[name], len(fields["chunks"]))
    fields["peers"] = in_columns(peers, len(fields["chunks"]))
    return SwarmView(lacking=np.array(numbers, np.intp), **fields)


def owned(nodes: list[NodeId], node: NodeId, count: int) -> list[int]:
    """Which of the first so many chunks the node is to claim."""
    numbers = np.arange(count)
    return numbers[OWN.owners(hashes_of(nodes), NOBODY).are(numbers, node)].tolist()


def planned(seen: SwarmView, seed: int = 1) -> list[Assignment]:
    return plan(seen, SETTINGS, np.random.default_rng(seed))


def by_source(assignments: list[Assignment]) -> dict[object, set[int]]:
    found: dict[object, set[int]] = {}
    for assignment in assignments:
        found.setdefault(assignment.source, set()).add(assignment.wanted.number)
    return found


def test_alone_everything_comes_from_the_origin_within_its_slots() -> None:
    assert len(planned(view(20))) == 4
    assert {a.source for a in planned(view(20))} == {Fixed.ORIGIN}


def test_the_local_cache_comes_first() -> None:
    seen = view(3, peer(NODES[0], 0, 1, 2), local={1})
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
    seen = view(2, busy, origin_lacks={1})
    assert by_source(planned(seen)) == {Fixed.ORIGIN: {0}, NODES[0]: {1}}


def test_a_failing_peer_is_not_waited_for() -> None:
    assert by_source(planned(view(1, peer(NODES[0], 0, slots_free=0, failing=True))))


def test_each_chunk_that_nobody_has_is_claimed_by_exactly_one_node() -> None:
    everybody = [SELF, *NODES]
    claimed: Counter[int] = Counter()
    for node in everybody:
        others = [peer(other) for other in everybody if other != node]
        lacking = set(range(100))
        # Not so far behind as to claim nothing, and too far to help the others.
        while made := planned(view(lacking, *others, self_id=node, push_backlog=1)):
            assert {a.source for a in made} == {Fixed.ORIGIN}
            claimed.update(a.wanted.number for a in made)
            lacking -= {a.wanted.number for a in made}
    assert set(claimed.values()) == {1}
    assert len(claimed) == 100


def test_a_node_without_progress_loses_its_share() -> None:
    stale = peer(NODES[0], progressed_s=100 - SETTINGS.claim_timeout_s - 1)
    assert len(planned(view(4, stale))) == 4


def test_a_node_that_is_expected_to_begin_keeps_its_share_for_a_moment() -> None:
    idle = peer(NODES[0], state=PeerState.WITHOUT)
    early = view(20, idle, now_s=0.4)
    assert by_source(planned(early))[Fixed.ORIGIN] < set(owned([SELF, NODES[0]], SELF, 20))
    later = view(owned([SELF, NODES[0]], NODES[0], 20), idle, now_s=0.6)
    assert len(planned(later)) == 4


def test_the_origin_waits_for_first_answers() -> None:
    unknown = peer(NODES[0], state=PeerState.UNKNOWN)
    assert planned(view(4, unknown, now_s=0.9)) == []
    assert len(planned(view(4, unknown, now_s=1.1))) == 4, "but not for ever"
    assert planned(view(4, unknown, now_s=0.6, answered_s=0.4)) == [], "another just did"
    assert len(planned(view(4, unknown, now_s=0.8, answered_s=0.4))) == 4
    gone = peer(NODES[0], state=PeerState.UNKNOWN, silent=True)
    assert len(planned(view(4, gone, now_s=0.1))) == 4


def test_when_nothing_comes_a_node_helps_itself() -> None:
    theirs = owned([SELF, NODES[0]], NODES[0], 40)[:2]
    assert planned(view(theirs, peer(NODES[0]))) == []
    helped = planned(view(theirs, peer(NODES[0]), stalled=1))
    assert [a.source for a in helped] == [Fixed.ORIGIN, Fixed.ORIGIN]


def test_what_the_origin_lacks_is_not_asked_of_it() -> None:
    assert planned(view(1, origin_lacks={0})) == []


def test_outstanding_bytes_are_bounded() -> None:
    big = [wanted(n, 8 * MIB).chunk for n in range(20)]
    seen = view(20, chunks=big, origin_slots=20, threads_free=20, bytes_free=20 * MIB)
    assert len(planned(seen)) == 2


def test_a_huge_version_is_planned_on_a_sample() -> None:
    chunks = [wanted(n).chunk for n in range(3 * limits.PLAN_WINDOW_CHUNKS)]
    placement = Placement([chunk.id for chunk in chunks])
    assert len(planned(view(len(chunks), chunks=chunks, placement=placement))) == 4


def owners_of(count: int, nodes: list[NodeId]) -> list[int]:
    """Of each of so many chunks, the hash of its owner."""
    placement = Placement([wanted(n).chunk.id for n in range(count)])
    return placement.owners(hashes_of(nodes), NOBODY).of(np.arange(count)).tolist()


def test_shares_are_even_and_mostly_stay_when_a_node_leaves() -> None:
    before = owners_of(500, NODES)
    assert set(Counter(before).values()) == {125}
    assert before == owners_of(500, NODES[::-1]), "in whatever order nodes are known"
    after = owners_of(500, NODES[:-1])
    left = set(before) - set(after)
    stayed = sum(was == now for was, now in zip(before, after, strict=True) if was not in left)
    assert stayed > 250


def test_it_is_all_one_which_nodes_are_followed() -> None:
    numbers = np.arange(len(CHUNKS))
    few = OWN.owners(hashes_of(NODES[:1]), nodes_of(NODES[1:])).of(numbers).tolist()
    assert OWN.owners(hashes_of(NODES[:3]), nodes_of(NODES[3:])).of(numbers).tolist() == few


def test_in_a_crowd_neighbours_have_one_owner() -> None:
    owners = OWN.owners(hashes_of(NODES), nodes_of([SELF])).of(np.arange(len(CHUNKS)))
    runs = owners.reshape(-1, limits.CROWD_RUN_CHUNKS)
    assert (runs == runs[:, :1]).all()
    assert len(set(runs[:, 0].tolist())) == len(NODES) + 1


def test_chunks_of_a_huge_version_are_placed_in_groups() -> None:
    owners = owners_of(3 * GROUPS_MAX - 1, NODES)
    assert owners[0] == owners[2]
    assert len(set(owners)) == len(NODES)


def test_ranks_are_an_order_of_the_nodes() -> None:
    owners: Owners = OWN.owners(hashes_of(NODES), NOBODY)
    ranks = [owners.ranks(np.arange(128), node).tolist() for node in NODES]
    assert {tuple(sorted(of_chunk)) for of_chunk in zip(*ranks, strict=True)} == {(0, 1, 2, 3)}


def test_what_will_be_pushed_is_not_asked_for() -> None:
    holder = peer(NODES[0], 0, 1, state=PeerState.FILLING)
    assert by_source(planned(view(2, holder, expected={0})))[NODES[0]] == {1}


def test_a_region_asks_its_origin_for_so_much_at_once() -> None:
    others = [peer(NodeId(f"n{n}")) for n in range(limits.ORIGIN_AT_ONCE - 1)]
    seen = view(100, *others, threads_free=64, origin_slots=64)
    assert len(planned(seen)) == 1
    assert planned(view(100, *others, origin_in_flight=1)) == []


def test_who_is_behind_in_pushing_claims_no_more() -> None:
    assert planned(view(20, push_backlog=push_backlog_max(1))) == []


def test_who_is_ahead_lets_the_others_catch_up_for_a_moment() -> None:
    everybody = [SELF, *(NodeId(f"n{n}") for n in range(limits.ORIGIN_AT_ONCE))]
    own, *of_others = (owned(everybody, node, len(CHUNKS)) for node in everybody)
    others = [peer(node, of[0]) for node, of in zip(everybody[1:], of_others, strict=True)]
    theirs = {int(n) for one in others for n in one.held.nonzero()[0]}
    ahead = set(range(len(CHUNKS))) - theirs - set(own[:2])
    assert planned(view(ahead, *others, yields_until_s=100.1)) == []
    assert len(planned(view(ahead, *others, yields_until_s=100.0))) == 1
    assert len(planned(view(ahead, *others, yields_until_s=100.1, stalled=1))) == 1
    level = set(range(len(CHUNKS))) - theirs - set(own[:1])
    assert len(planned(view(level, *others, yields_until_s=100.1))) == 1


def test_who_knows_few_yet_begins_with_what_all_would_leave_to_it() -> None:
    """Of a hundred chunks it is to claim all: first what it would claim beside four others."""
    silent = [peer(node, state=PeerState.UNKNOWN) for node in NODES]
    sure = owned([SELF, *NODES], SELF, 100)
    claimed = [a.wanted.number for a in planned(view(100, *silent))]
    assert claimed == sure[:4] != [0, 1, 2, 3]
    gone = [peer(node, state=PeerState.UNKNOWN, silent=True) for node in NODES]
    assert [a.wanted.number for a in planned(view(100, *gone))] == [0, 1, 2, 3]


def test_who_has_claimed_its_share_helps_who_is_behind() -> None:
    theirs = owned([SELF, NODES[0]], NODES[0], 40)
    claims = planned(view(theirs, peer(NODES[0])))
    assert [a.source for a in claims] == [Fixed.ORIGIN]
    assert planned(view(theirs[:2], peer(NODES[0]))) == [], "but not for its last ones"
    assert planned(view(theirs, peer(NODES[0]), push_backlog=1)) == []


def test_no_two_nodes_help_with_the_same_chunk() -> None:
    everybody = [SELF, *NODES]
    theirs = owned(everybody, NODES[0], 100)
    helped: Counter[int] = Counter()
    for node in everybody[:1] + everybody[2:]:
        lacking = set(theirs)
        others = [peer(other) for other in everybody if other != node]
        while made := planned(view(lacking, *others, self_id=node)):
            helped.update(a.wanted.number for a in made)
            lacking -= {a.wanted.number for a in made}
    assert set(helped.values()) == {1}
    assert set(theirs[: limits.HELP_CHUNKS_MIN - 1]).isdisjoint(helped), "those it takes itself"


def test_a_claimer_that_failed_to_answer_keeps_its_share() -> None:
    theirs = owned([SELF, NODES[0]], NODES[0], 40)[:2]
    assert planned(view(theirs, peer(NODES[0], failing=True))) == []
    assert len(planned(view(theirs, peer(NODES[0], silent=True)))) == 2


def test_patience_decides_who_keeps_its_share() -> None:
    theirs = owned([SELF, NODES[0]], NODES[0], 40)[:2]
    slow = peer(NODES[0], progressed_s=90.0)
    assert planned(view(theirs, slow, patience_s=12.0)) == []
    assert len(planned(view(theirs, slow, patience_s=8.0))) == 2


def test_who_is_about_to_push_a_late_chunk_is_not_asked_for_it() -> None:
    pusher, other = peer(NODES[0], 0), peer(NODES[1], 0)
    assert planned(view(1, pusher, under_way={0: NODES[0]})) == []
    assert by_source(planned(view(1, pusher, other, under_way={0: NODES[0]}))) == {NODES[1]: {0}}


def claims_in_a_crowd(
    lacking: Iterable[int], *peers: Peer, count: int, **changes: Any
) -> Counter[int]:
    """How many nodes of a crowd claim each chunk, if all see the same."""
    lacking = set(lacking)
    crowd = [NodeId(f"one-of-{n}") for n in range(count)]
    return Counter(
        made.wanted.number
        for node in crowd
        for made in planned(
            view(
                lacking,
                *peers,
                self_id=node,
                others=nodes_of(one for one in crowd if one != node),
                **changes,
            )
        )
        if made.source is Fixed.ORIGIN
    )


def test_in_a_crowd_chunks_are_claimed_in_turn() -> None:
    count = 2 * limits.CROWD_ORIGIN_AT_ONCE
    claims = claims_in_a_crowd(range(512), count=count)
    assert claims == dict.fromkeys(range(0, limits.CROWD_ORIGIN_FIRST, RUN), 1)
    claims = claims_in_a_crowd(range(100, 512), count=count)
    window = range(100, 100 + limits.CROWD_ORIGIN_AT_ONCE)
    assert claims == dict.fromkeys([100, *range(104, window.stop, RUN)], 1)


def test_a_chunk_that_was_passed_over_is_claimed_by_few_others() -> None:
    arrived = range(16, 16 + limits.CLAIM_PASSED_CHUNKS + RUN)
    holder = peer(NODES[0], *arrived)
    claims = claims_in_a_crowd(set(range(512)) - set(arrived), holder, count=200)
    assert all(2 <= claims[number] <= 5 for number in (0, 8)), "the next four in its order"
    assert {claims[number] for number in range(arrived.stop, 512)} == {0, 1}


def test_when_nothing_comes_to_a_crowd_it_is_few_who_help_themselves() -> None:
    helping = [claims_in_a_crowd([511], count=200, stalled=stalled)[511] for stalled in range(5)]
    assert helping == [1, 4, 16, 64, 200]


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
    peers: list[Peer],
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
        local=local,
        origin_lacks=lacks,
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
                    if p.slots_free and p.held[number] and not (p.failing or p.busy)
                ]
                assert not fresh, "peers come first"
            case NodeId() as node:
                assert by_node[node].held[number]
                assert taken[node] <= by_node[node].slots_free
