"""What to take from whom: a pure function of a view of the swarm, the time and an `rng`.

Policy: what this cache holds elsewhere first. A chunk that no peer holds is claimed from the origin
by one node, which `placement` names among the nodes that fetch the same version; that node pushes
it to the others, so they wait for it as long as such a push usually takes. What does not come is
taken from a holder: the rarest chunk first with random ties, from the holder with most free slots,
peers before the origin. A node that has claimed all of its share helps one that is behind. A node
that has made no progress for `claim_timeout_s` counts no more, so its share passes to the others;
and when nothing at all has come for so long, whatever the others say, a node helps itself.

The same code is meant to run in a simulator: no clock, no I/O, no state.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from cachd import limits
from cachd.fetch.placement import Placement
from cachd.fetch.settings import FetchSettings
from cachd.peer.bitmaps import bit, union
from registry_core.domain import limits as domain
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

    `held` is a bitmap by chunk number, least significant bit first.
    `progressed_s`: when it last gave a chunk, or its maps last changed. `failing`,
    `busy`: its last answer was an error, or that it is busy.
    """

    node: NodeId
    state: PeerState
    held: bytes
    slots_free: int
    progressed_s: float
    failing: bool = False
    busy: bool = False


@dataclass(frozen=True, slots=True)
class SwarmView:
    """All that a plan may depend on. `missing`: neither stored nor in flight.

    `expected`: numbers of chunks that a peer will push. `origin_slots`: how many more chunks the
    origin may be asked for now; `origin_in_flight`: how many it is being asked for; `origin_lacks`:
    what it cannot give. `push_backlog`: chunks that this node has brought into the region and has
    still to send to a peer. `stalled`: nothing has come for `claim_timeout_s`.
    `threads_free` and `bytes_free` bound the plan.
    """

    now_s: float
    began_s: float
    self_id: NodeId
    missing: Sequence[Wanted]
    local: AbstractSet[ChunkId]
    peers: Sequence[PeerView]
    placement: Placement
    expected: AbstractSet[int]
    origin_slots: int
    origin_in_flight: int
    push_backlog: int
    stalled: bool
    origin_lacks: AbstractSet[ChunkId]
    threads_free: int
    bytes_free: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one chunk from exactly one source, so that a bad hash has one culprit."""

    wanted: Wanted
    source: Source


_EVERYTHING = b"\xff" * ((domain.CHUNKS_MAX + 7) // 8)


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
    unheld: list[Wanted] = []
    sources = [peer for peer in view.peers if _is_worth_waiting_for(peer, view.now_s, settings)]
    held = _union(sources)
    for wanted in candidates:
        if wanted.chunk.id in view.local:
            yield Assignment(wanted, Fixed.LOCAL)
        elif wanted.number in view.expected:
            continue
        elif bit(held, wanted.number):
            holders = [peer for peer in sources if holds(peer, wanted.number)]
            travelling.append((len(holders), rng.random(), wanted, holders))
        else:
            unheld.append(wanted)
    slots = {peer.node: peer.slots_free for peer in view.peers}
    left: list[Wanted] = []
    yield from _claims(view, settings, unheld, left)
    if len(sources) < len(view.peers):
        travelling += [
            (0, rng.random(), wanted, holders)
            for wanted in left
            if (holders := [peer for peer in view.peers if holds(peer, wanted.number)])
        ]
    travelling.sort(key=lambda item: item[:2])
    for _, _, wanted, holders in travelling:
        best = max(holders, key=lambda peer: (slots[peer.node], rng.random()))
        if slots[best.node] > 0:
            slots[best.node] -= 1
            yield Assignment(wanted, best.node)


def _claims(
    view: SwarmView,
    settings: FetchSettings,
    unheld: list[Wanted],
    left: list[Wanted],
) -> Iterator[Assignment]:
    """What to take from the origin, of `unheld`; what is not taken goes into `left`."""
    claimers = _claimers(view, settings)
    nodes = [view.self_id, *(peer.node for peer in claimers)]
    slots = min(
        view.origin_slots,
        max(1, limits.ORIGIN_AT_ONCE // len(nodes)) - view.origin_in_flight,
    )
    behind_in_pushing = view.push_backlog >= limits.PUSH_BACKLOG_MAX
    if slots <= 0 or behind_in_pushing or _awaiting_first_answers(view, settings):
        left.extend(unheld)
        return
    owners = view.placement.owners(nodes)
    others: dict[NodeId, list[Wanted]] = {}
    for wanted in unheld:
        if wanted.chunk.id in view.origin_lacks:
            left.append(wanted)
            continue
        owner = owners.of(wanted.number)
        if slots <= 0 or (owner != view.self_id and not view.stalled):
            others.setdefault(owner, []).append(wanted)
            continue
        slots -= 1
        yield Assignment(wanted, Fixed.ORIGIN)
    if slots > 0 and others and view.push_backlog <= 1:
        behind = max(others.values(), key=len)
        if len(behind) >= limits.HELP_CHUNKS_MIN:
            yield Assignment(behind.pop(), Fixed.ORIGIN)
    left.extend(wanted for waiting in others.values() for wanted in waiting)


def _union(peers: Sequence[PeerView]) -> bytes:
    """Bitmap of what any of them holds."""
    if any(peer.state is PeerState.COMPLETE for peer in peers):
        return _EVERYTHING
    return union([peer.held for peer in peers])


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


def holds(peer: PeerView, number: int) -> bool:
    """Whether the peer has the chunk of that number."""
    return peer.state is PeerState.COMPLETE or bit(peer.held, number)
