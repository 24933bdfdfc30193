"""What to take from whom: a pure function of a view of the swarm, the time and an `rng`.

Policy: what this cache holds elsewhere first; then the rarest chunk first with random ties, from
the holder with most free slots; peers before the origin. A chunk that no peer holds is claimed
from the origin by one node, which rendezvous hashing names among the nodes that fetch the same
version; the others wait for it. A node that has made no progress for `claim_timeout_s` counts no
more, so its share passes to the others. Nothing waits for ever on one node.

The same code is meant to run in a simulator: no clock, no I/O, no state.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from cachd import limits
from cachd.fetch.placement import owner
from cachd.fetch.settings import FetchSettings
from registry_core.domain.identifiers import ChunkId, NodeId
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

    `held` and `claimed` are bitmaps by chunk number, least significant bit first.
    `progressed_s`: when it last gave a chunk, or its maps last changed. `failing`,
    `busy`: its last answer was an error, or that it is busy.
    """

    node: NodeId
    state: PeerState
    held: bytes
    claimed: bytes
    slots_free: int
    progressed_s: float
    failing: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True)
class SwarmView:
    """All that a plan may depend on. `missing`: neither stored nor in flight.

    `origin_slots`: how many more chunks the origin may be asked for now; `origin_lacks`: chunks
    it cannot give. `threads_free` and `bytes_free` bound the plan.
    """

    now_s: float
    began_s: float
    self_id: NodeId
    missing: Sequence[Wanted]
    local: AbstractSet[ChunkId]
    peers: Sequence[PeerView]
    origin_slots: int
    origin_lacks: AbstractSet[ChunkId]
    threads_free: int
    bytes_free: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one chunk from exactly one source, so that a bad hash has one culprit."""

    wanted: Wanted
    source: Source


def plan(view: SwarmView, settings: FetchSettings, rng: random.Random) -> list[Assignment]:
    """What to begin now; may be nothing."""
    if view.threads_free <= 0 or not view.missing:
        return []
    made: list[Assignment] = []
    bytes_free = view.bytes_free
    for assignment in _wishes(view, settings, rng):
        length = assignment.wanted.chunk.length
        if length > bytes_free:
            break
        bytes_free -= length
        made.append(assignment)
        if len(made) == view.threads_free:
            break
    return made


def _wishes(view: SwarmView, settings: FetchSettings, rng: random.Random) -> Iterator[Assignment]:
    """Assignments in order of preference. Slots count as taken when the next one is asked for."""
    candidates: Sequence[Wanted] = view.missing
    if len(candidates) > limits.PLAN_WINDOW_CHUNKS:
        candidates = rng.sample(candidates, limits.PLAN_WINDOW_CHUNKS)
    travelling: list[tuple[int, float, Wanted, list[PeerView]]] = []
    sources = [peer for peer in view.peers if _is_worth_waiting_for(peer, view.now_s, settings)]
    for wanted in candidates:
        if wanted.chunk.id in view.local:
            yield Assignment(wanted, Fixed.LOCAL)
        else:
            holders = [peer for peer in sources if holds(peer, wanted.number)]
            travelling.append((len(holders), rng.random(), wanted, holders))
    travelling.sort(key=lambda item: item[:2])
    slots = {peer.node: peer.slots_free for peer in view.peers}
    claimers = _claimers(view, settings)
    origin_slots = 0 if _awaiting_first_answers(view, settings) else view.origin_slots
    for _, _, wanted, holders in travelling:
        if not holders and origin_slots > 0 and _is_ours(wanted, view, claimers):
            origin_slots -= 1
            yield Assignment(wanted, Fixed.ORIGIN)
            continue
        able = holders or [peer for peer in view.peers if holds(peer, wanted.number)]
        if able:
            best = max(able, key=lambda peer: (slots[peer.node], rng.random()))
            if slots[best.node] > 0:
                slots[best.node] -= 1
                yield Assignment(wanted, best.node)


def _is_worth_waiting_for(peer: PeerView, now_s: float, settings: FetchSettings) -> bool:
    """Whether what it holds should not be taken from the origin, though it may take a moment.

    Others are asked too, but only for what the origin cannot give or has no slot for.
    """
    if now_s - peer.progressed_s <= settings.claim_timeout_s:
        return peer.slots_free > 0 or not peer.failing
    return peer.slots_free > 0 and not peer.failing and not peer.busy


def is_claimer(peer: PeerView, now_s: float, settings: FetchSettings) -> bool:
    """Whether it takes its share of chunks from the origin, and gets on with it."""
    recent = now_s - peer.progressed_s <= settings.claim_timeout_s
    return peer.state is PeerState.FILLING and recent and not peer.failing


def _claimers(view: SwarmView, settings: FetchSettings) -> list[PeerView]:
    starting = view.now_s - view.began_s < settings.expected_s
    return [
        peer
        for peer in view.peers
        if is_claimer(peer, view.now_s, settings)
        or (starting and peer.state is PeerState.WITHOUT and not peer.failing)
    ]


def _awaiting_first_answers(view: SwarmView, settings: FetchSettings) -> bool:
    unknown = any(peer.state is PeerState.UNKNOWN for peer in view.peers)
    return unknown and view.now_s - view.began_s < settings.first_contact_s


def _is_ours(wanted: Wanted, view: SwarmView, claimers: Sequence[PeerView]) -> bool:
    """Whether this node is the one to claim the chunk from the origin."""
    if wanted.chunk.id in view.origin_lacks:
        return False
    if any(_bit(peer.claimed, wanted.number) for peer in claimers):
        return False
    nodes = [view.self_id, *(peer.node for peer in claimers)]
    return owner(wanted.chunk.id, nodes) == view.self_id


def holds(peer: PeerView, number: int) -> bool:
    """Whether the peer has the chunk of that number."""
    return peer.state is PeerState.COMPLETE or _bit(peer.held, number)


def _bit(bitmap: bytes, number: int) -> bool:
    return len(bitmap) > number >> 3 and bool(bitmap[number >> 3] >> (number & 7) & 1)
