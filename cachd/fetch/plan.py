"""What to take from whom: a pure function of a view of the swarm, the time and an `rng`.

Policy: what this cache holds elsewhere first. A chunk that no peer holds is claimed from the origin
by one node, which `placement` names among the nodes that fetch the same version; that node pushes
it to its followers, so they wait for it as long as such a push usually takes. What does not come is
taken from a holder: the rarest chunk first with random ties, from the holder with most free slots,
peers before the origin; whose last answer was an error is asked for what no other can give. When
the last few are under way, those that are late are asked of a second holder. A node that has
claimed all of its share helps those that are behind, with chunks for which it is the only helper,
since a chunk that two claim is pushed to everybody twice. A node
that has made no progress for as long as the fetch has patience counts no more, so its share passes
to the others; and when nothing at all has come for so long, whatever the others say, nodes help
themselves: few at first, or a thousand would take the same chunk.

The same code runs in nodes and in `bench simulate`: no clock, no I/O, no state.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cachd import limits
from cachd.fetch.placement import Nodes, Owners, Placement
from cachd.fetch.settings import FetchSettings
from cachd.peer.bitmaps import Mask, Numbers
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Chunk


class Fixed(enum.Enum):
    """The sources that are not peers."""

    ORIGIN = "origin"
    LOCAL = "local cache"

    def __str__(self) -> str:
        return self.value


Source = NodeId | Fixed


@dataclass(frozen=True, slots=True)
class Wanted:
    """A missing chunk. `number`: its position among the version's distinct chunks."""

    number: int
    chunk: Chunk


class PeerState(enum.Enum):
    UNKNOWN = "has not answered yet"
    WITHOUT = "does not know the version"
    FILLING = "is fetching it"
    COMPLETE = "has all of it"


@dataclass(frozen=True, slots=True)
class PeerView:
    """A peer that is neither banned nor given up. `slots_free` is 0 while it is backing off.

    `progressed_s`: when it last gave a part of a chunk, or its maps last changed. `failing`,
    `busy`: its last answer was an error, or that it is busy. `silent`: it cannot be followed.
    """

    node: NodeId
    state: PeerState
    held: Mask
    slots_free: int
    progressed_s: float
    failing: bool = False
    busy: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class SwarmView:
    """All that a plan may depend on; masks go over the version's distinct `chunks`.

    `answered_s`: when a peer last answered for the first time.
    `lacking`: not stored, ascending; some of it is `in_flight`. `late`: of that, what has been for
    longer than usual, now that little else is left, and from whom. `others`: nodes that fetch the
    version too, but are not among `peers` because there are too many to follow. `expected`: what a
    peer will push; `under_way`: what it should have by now, and who, so that another may be asked.
    `origin_slots`: how many more chunks the origin may be asked for now;
    `origin_in_flight`: how many it is being asked for; `origin_lacks`: what it cannot give.
    `push_backlog`: chunks that this node has brought into the region and has still to send to a
    peer. `patience_s`: how long others are waited for; `stalled`: how many times it has passed
    since anything came. `threads_free` and `bytes_free` bound the plan. `origin_run`: chunks that a
    request to the origin is to bring.
    """

    now_s: float
    began_s: float
    answered_s: float | None
    self_id: NodeId
    chunks: Sequence[Chunk]
    lacking: Numbers
    in_flight: Mask
    late: Mapping[int, Source]
    local: Mask
    peers: Sequence[PeerView]
    others: Nodes
    placement: Placement
    expected: Mask
    under_way: Mapping[int, Source]
    origin_slots: int
    origin_in_flight: int
    push_backlog: int
    patience_s: float
    stalled: int
    origin_lacks: Mask
    threads_free: int
    bytes_free: int
    origin_run: int = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one chunk from exactly one source, so that a bad hash has one culprit."""

    wanted: Wanted
    source: Source


def plan(view: SwarmView, settings: FetchSettings, rng: np.random.Generator) -> list[Assignment]:
    """What to begin now; may be nothing."""
    if view.threads_free <= 0:
        return []
    made: list[Assignment] = []
    bytes_free = view.bytes_free
    for number, source in _wishes(view, settings, rng):
        chunk = view.chunks[number]
        if chunk.length > bytes_free:
            break
        bytes_free -= chunk.length
        made.append(Assignment(Wanted(int(number), chunk), source))
        if len(made) == view.threads_free:
            break
    return made


def _wishes(
    view: SwarmView, settings: FetchSettings, rng: np.random.Generator
) -> Iterator[tuple[int, Source]]:
    """Assignments in order of preference. Slots count as taken when the next one is asked for."""
    missing = view.lacking[~view.in_flight[view.lacking]]
    if len(missing) > limits.PLAN_WINDOW_CHUNKS:
        missing = rng.choice(missing, limits.PLAN_WINDOW_CHUNKS, replace=False, shuffle=False)
    here = view.local[missing]
    for number in missing[here]:
        yield number, Fixed.LOCAL
    missing = missing[~(here | view.expected[missing])]
    held = _held_by(view.peers, missing)
    worthy = [_is_worth_waiting_for(peer, view.now_s, view.patience_s) for peer in view.peers]
    unheld = _count(held, worthy) == 0
    open_now = unheld & ~np.isin(missing, list(view.under_way)) if view.under_way else unheld
    given_up = missing[open_now & held.any(axis=0)]
    claimed = _claims(view, settings, missing[open_now], given_up, worthy)
    for number in claimed:
        yield number, Fixed.ORIGIN
    if claimed:
        left = ~np.isin(missing, claimed)
        missing, held, unheld = missing[left], held[:, left], unheld[left]
    _spare_pushers(view, missing, held)
    yield from _asks(view, missing, held, unheld, rng)
    yield from _second_copies(view)


def _held_by(peers: Sequence[PeerView], numbers: Numbers) -> NDArray[np.bool_]:
    """A row for each peer, with a column for each number."""
    if not peers:
        return np.zeros((0, len(numbers)), np.bool_)
    if 4 * len(numbers) < len(peers[0].held):
        return np.stack([peer.held[numbers] for peer in peers])
    whole = np.stack([peer.held for peer in peers])  # copying is cheaper than picking
    return whole.take(numbers, axis=1)


def _spare_pushers(view: SwarmView, missing: Numbers, held: NDArray[np.bool_]) -> None:
    """Who is about to push a chunk counts as if it did not hold it."""
    rows = {peer.node: row for row, peer in enumerate(view.peers)}
    for number, node in view.under_way.items():
        if node in rows:
            held[rows[node], missing == number] = False


def _count(held: NDArray[np.bool_], of: Sequence[bool]) -> NDArray[np.uint8]:
    """How many of these peers hold each; there are at most limits.PEERS_MAX of them."""
    chosen = held if all(of) else held[np.array(of)]
    counts: NDArray[np.uint8] = np.add.reduce(chosen, axis=0, dtype=np.uint8)
    return counts


def _asks(
    view: SwarmView,
    numbers: Numbers,
    held: NDArray[np.bool_],
    unheld: Mask,
    rng: np.random.Generator,
) -> Iterator[tuple[int, Source]]:
    """What to ask peers for: what nobody worth waiting for holds, nor the origin gives, then the
    rarest."""
    slots = np.array([peer.slots_free for peer in view.peers], np.intp)
    sound = np.array([not peer.failing for peer in view.peers], np.bool_)
    holders = _count(held, [peer.slots_free > 0 for peer in view.peers])
    able_at_all = np.flatnonzero(holders)
    rarity = holders[able_at_all] + rng.random(len(able_at_all))
    rarity[unheld[able_at_all]] -= len(slots)
    for place in able_at_all[np.argsort(rarity)]:
        able = np.flatnonzero(held[:, place] & (slots > 0))
        if len(able):
            if (able_and_sound := able[sound[able]]).size:
                able = able_and_sound
            best = able[np.argmax(slots[able] + rng.random(len(able)))]
            slots[best] -= 1
            yield numbers[place], view.peers[best].node
            if not slots.any():
                return


def _second_copies(view: SwarmView) -> Iterator[tuple[int, Source]]:
    """What is late is asked of another peer as well; whoever is first cancels the other. Cohen
    ("Incentives Build Robustness in BitTorrent", 2003) asks everybody at the end; one more is
    enough, and only where the first is late, since links are full of what others lack."""
    for number, first in view.late.items():
        able = [p for p in view.peers if p.slots_free and p.held[number] and p.node != first]
        if able:
            yield number, max(able, key=lambda peer: peer.slots_free).node


def _claims(
    view: SwarmView,
    settings: FetchSettings,
    unheld: Numbers,
    given_up: Numbers,
    worthy: Sequence[bool],
) -> list[int]:
    """What to take from the origin, of `unheld`; `given_up`: of that, what is held, but by nobody
    worth waiting for."""
    if not len(unheld) or not view.origin_slots:
        return []
    claimers = _claimers(view, settings)
    count = 1 + len(claimers) + len(view.others)
    at_once = max(1, limits.ORIGIN_AT_ONCE // count) * view.origin_run
    slots = min(view.origin_slots, at_once - view.origin_in_flight)
    behind_in_pushing = view.push_backlog >= limits.PUSH_BACKLOG_MAX and not view.stalled
    if slots <= 0 or behind_in_pushing or _awaiting_first_answers(view, settings):
        return []
    open_now = unheld[~view.origin_lacks[unheld]]
    turns = np.full(len(open_now), view.stalled)
    if view.others:
        open_now, turns = _in_turn(view, worthy, open_now)
    owners = _owners(view, claimers)
    ours = owners.are(open_now, view.self_id)
    if len(given_up):  # a holder that fails will not claim what it holds
        sound = _owners(view, [peer for peer in claimers if not peer.failing])
        ours = np.where(np.isin(open_now, given_up), sound.are(open_now, view.self_id), ours)
    if turns.any():
        ours |= owners.ranks(open_now, view.self_id) < np.where(turns > 0, 4**turns, 0)
    claimed = [int(number) for number in open_now[ours][:slots]]
    if len(claimed) < slots and not (view.push_backlog or view.others):
        to_help = owners.to_help(open_now[~ours], view.self_id)
        claimed.extend(to_help[-1:].tolist())
    return claimed


def _owners(view: SwarmView, claimers: Sequence[PeerView]) -> Owners:
    return view.placement.owners([view.self_id, *(peer.node for peer in claimers)], view.others)


def _in_turn(
    view: SwarmView, worthy: Sequence[bool], unheld: Numbers
) -> tuple[Numbers, NDArray[np.intp]]:
    """Of `unheld`, what is to be claimed before the rest, because many nodes that claim all at once
    share the origin's link, and none has a chunk to push until late. With each, how many times its
    owner has been waited for in vain: chunks after it have come, and it has not."""
    unseen = view.lacking[_count(_held_by(view.peers, view.lacking), worthy) == 0]
    if not len(unseen):
        return unheld, np.zeros(len(unheld), np.intp)
    seen = len(view.chunks) - len(unseen)
    window = min(limits.CROWD_ORIGIN_AT_ONCE, limits.CROWD_ORIGIN_FIRST + 2 * seen)
    last = unseen[min(len(unseen), window) - 1]
    unheld = unheld[unheld <= last]
    unseen_after = len(unseen) - np.searchsorted(unseen, unheld, side="right")
    passed = len(view.chunks) - 1 - unheld - unseen_after
    return unheld, np.maximum(passed // limits.CLAIM_PASSED_CHUNKS, view.stalled)


def _is_worth_waiting_for(peer: PeerView, now_s: float, patience_s: float) -> bool:
    """Whether what it holds should not be taken from the origin, though it may take a moment.

    Others are asked too, but only for what the origin cannot give or has no slot for.
    """
    if now_s - peer.progressed_s <= patience_s:
        return peer.slots_free > 0 or not peer.failing
    return peer.slots_free > 0 and not peer.failing and not peer.busy


class _Claimer(Protocol):
    """What of a peer tells whether it claims."""

    @property
    def state(self) -> PeerState: ...
    @property
    def progressed_s(self) -> float: ...
    @property
    def silent(self) -> bool: ...


def is_claimer(peer: _Claimer, now_s: float, patience_s: float) -> bool:
    """Whether it takes its share of chunks from the origin, and gets on with it. All nodes should
    say the same of it: that it failed to answer one of them says nothing of that."""
    recent = now_s - peer.progressed_s <= patience_s
    return peer.state is PeerState.FILLING and recent and not peer.silent


def _claimers(view: SwarmView, settings: FetchSettings) -> list[PeerView]:
    starting = view.now_s - view.began_s < settings.expected_s
    return [
        peer
        for peer in view.peers
        if is_claimer(peer, view.now_s, view.patience_s)
        or (starting and peer.state is PeerState.WITHOUT and not peer.failing)
    ]


def _awaiting_first_answers(view: SwarmView, settings: FetchSettings) -> bool:
    unknown = any(p.state is PeerState.UNKNOWN and not p.silent for p in view.peers)
    until_s = view.began_s + settings.first_contact_s_max
    if view.answered_s is not None:
        until_s = min(until_s, view.answered_s + settings.first_contact_s)
    return unknown and view.now_s < until_s
