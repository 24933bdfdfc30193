"""The mutable state of one fetch. Owned by the coordinator's thread; no locks, no I/O, no clock.

Every chunk that is not stored is in exactly one of two places: `_missing`, or in flight with one
attempt. Every attempt that was begun ends in `stored` or `again`; where a push was faster, the
chunk is stored already by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cachd import limits
from cachd.cache.cache import Filling
from cachd.fetch.errors import MissingChunk
from cachd.fetch.placement import Placement
from cachd.fetch.plan import (
    Assignment,
    Fixed,
    PeerState,
    PeerView,
    Source,
    SwarmView,
    Wanted,
    holds,
    is_claimer,
)
from cachd.fetch.pushes import ExpectedPushes
from cachd.fetch.report import Complaint, Progress
from cachd.fetch.settings import FetchSettings
from cachd.peer.bitmaps import numbers_of, set_bit
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.packs import Location, Locations


@dataclass(eq=False, slots=True)
class Attempt:
    """An assignment under way. Workers read it; `abandoned` tells one not to begin any more."""

    wanted: Wanted
    source: Source
    address: PeerAddress | None
    location: Location | None
    abandoned: bool = False


@dataclass(slots=True)
class SourceState:
    """What is known of the origin, the local cache, or a peer.

    `failures`: in a row. `refusals`: chunks that were damaged or not there, in all. `banned`: why
    it is not used any more in this fetch.
    """

    failures: int = 0
    refusals: int = 0
    busy: int = 0
    retry_at_s: float = 0.0
    banned: str = ""
    last_error: str = ""
    in_flight: int = 0
    bytes_given: int = 0


@dataclass(slots=True)
class PeerSourceState(SourceState):
    address: PeerAddress = field(kw_only=True)
    state: PeerState = PeerState.UNKNOWN
    incarnation: int = 0
    held: bytes = b""
    claimed: bytes = b""
    progressed_s: float = 0.0
    following: bool = False
    follow_at_s: float = 0.0
    follow_failures: int = 0

    @property
    def failing(self) -> bool:
        return max(self.failures, self.follow_failures) > 0

    def usable(self, failures_max: int) -> bool:
        """Neither banned nor given up."""
        return not self.banned and max(self.failures, self.follow_failures) < failures_max


class Swarm:
    def __init__(
        self,
        filling: Filling,
        locations: Locations,
        self_id: NodeId,
        settings: FetchSettings,
        now_s: float,
    ) -> None:
        self.manifest = filling.manifest
        self.self_id = self_id
        self.settings = settings
        self.began_s = now_s
        self.progressed_s = now_s
        self.peers: dict[NodeId, PeerSourceState] = {}
        self.fixed = {source: SourceState() for source in Fixed}
        self.complaints: list[Complaint] = []
        self.origin_lacks: dict[ChunkId, str] = {}
        self.local = set(filling.local)
        self.in_flight: dict[ChunkId, Attempt] = {}
        self.placement = Placement(list(self.manifest.unique_chunks))
        self.pushes = ExpectedPushes(settings)
        self._locations = locations
        numbers = {chunk_id: n for n, chunk_id in enumerate(self.manifest.unique_chunks)}
        wanted = [Wanted(numbers[chunk.id], chunk) for chunk in filling.missing]
        self._missing = _Bag(wanted)
        self._open = {item.number: item for item in wanted}  # not stored yet
        self._outstanding_bytes = 0
        self._bytes_there = filling.bytes_there
        self._bytes_left = sum(chunk.length for chunk in filling.missing)
        self._bytes_total = sum(c.length for c in self.manifest.unique_chunks.values())
        for chunk in filling.missing:
            if chunk.id not in locations:
                self.origin_lacks[chunk.id] = "no location known (the hint does not name it)"

    @property
    def done(self) -> bool:
        return not self._open

    def state_of(self, source: Source) -> SourceState:
        return self.fixed[source] if isinstance(source, Fixed) else self.peers[source]

    # Peers

    def set_peers(self, addresses: Sequence[PeerAddress], now_s: float) -> list[PeerAddress]:
        """Take over the list of peers; those that left it are forgotten once nothing is under
        way with them. Returns those that should not be followed any more."""
        left = []
        listed = {a.node_id: a for a in addresses if a.node_id != self.self_id}
        for node in list(self.peers):
            known = self.peers[node]
            moved = node not in listed or known.address != listed[node]
            if moved and known.following:
                left.append(known.address)
            elif moved and not known.in_flight:
                del self.peers[node]
        for node, address in list(listed.items())[: limits.PEERS_MAX]:
            if node not in self.peers:
                self.peers[node] = PeerSourceState(address=address, progressed_s=now_s)
        return left

    def seen(
        self, node: NodeId, incarnation: int, maps: tuple[bytes, bytes] | None, now_s: float
    ) -> None:
        """A peer told: its maps of the version, or None if it does not know it."""
        peer = self.peers[node]
        peer.follow_failures = 0
        if incarnation != peer.incarnation:
            peer.incarnation, peer.failures, peer.retry_at_s = incarnation, 0, 0.0
        held, claimed = maps or (b"", b"")
        if (held, claimed) != (peer.held, peer.claimed) or peer.state is PeerState.UNKNOWN:
            peer.progressed_s = now_s
        if claimed != peer.claimed:
            promised = {number for number in numbers_of(claimed) if number in self._open}
            self.pushes.promised(node, promised, now_s)
        peer.held, peer.claimed = held, claimed
        if maps is None:
            peer.state = PeerState.WITHOUT
        else:
            count = sum(byte.bit_count() for byte in held)
            whole = count >= len(self.manifest.unique_chunks)
            peer.state = PeerState.COMPLETE if whole else PeerState.FILLING

    # Attempts

    def begin(self, assignment: Assignment) -> Attempt:
        wanted, source = assignment.wanted, assignment.source
        self._missing.remove(wanted)
        address = None if isinstance(source, Fixed) else self.peers[source].address
        location = self._locations[wanted.chunk.id] if source is Fixed.ORIGIN else None
        attempt = Attempt(wanted, source, address, location)
        self.in_flight[wanted.chunk.id] = attempt
        self._outstanding_bytes += wanted.chunk.length
        self.state_of(source).in_flight += 1
        return attempt

    def end(self, attempt: Attempt) -> SourceState:
        """Either way: the attempt is not in flight any more. Returns its source's state."""
        del self.in_flight[attempt.wanted.chunk.id]
        self._outstanding_bytes -= attempt.wanted.chunk.length
        state = self.state_of(attempt.source)
        state.in_flight -= 1
        return state

    def stored(self, attempt: Attempt, now_s: float) -> PeerAddress | None:
        """The attempt brought the chunk. Returns the peer that was about to push it, if any."""
        state = self.end(attempt)
        state.failures = state.busy = 0
        self._settle(attempt.wanted.number, state, now_s)
        pusher = self.pushes.came(None, attempt.wanted.number, now_s)
        return self.peers[pusher].address if pusher in self.peers else None

    def again(self, attempt: Attempt) -> None:
        """The attempt ended without the chunk."""
        self.end(attempt)
        if attempt.wanted.number in self._open:
            self._missing.add(attempt.wanted)

    def pushed(self, node: NodeId, number: int, now_s: float) -> None:
        """A peer sent a chunk unasked."""
        self.pushes.came(node, number, now_s)
        wanted = self._open.get(number)
        if wanted is not None and wanted.chunk.id not in self.in_flight:
            self._missing.remove(wanted)
        self._settle(number, self.peers[node], now_s)

    def _settle(self, number: int, state: SourceState, now_s: float) -> None:
        """The chunk is stored; only who was first counts as its source."""
        if isinstance(state, PeerSourceState):
            state.progressed_s = now_s
        wanted = self._open.pop(number, None)
        if wanted is None:
            return
        state.bytes_given += wanted.chunk.length
        self._bytes_left -= wanted.chunk.length
        self.progressed_s = now_s

    def ban(self, source: Source, reason: str) -> None:
        """Do not use a source any more in this fetch; what waits for a worker is abandoned."""
        self.state_of(source).banned = reason
        for attempt in self.in_flight.values():
            attempt.abandoned |= attempt.source == source

    def complain(self, source: Source, chunk_id: ChunkId | None, reason: str) -> None:
        if len(self.complaints) < limits.COMPLAINTS_MAX:
            self.complaints.append(Complaint(str(source), chunk_id, reason))

    # Views

    def view(self, now_s: float, push_backlog: int) -> SwarmView:
        threads = self.settings.threads
        queue = threads * limits.QUEUED_PER_THREAD
        origin = self.fixed[Fixed.ORIGIN]
        ready = not origin.banned and origin.retry_at_s <= now_s
        return SwarmView(
            now_s=now_s,
            began_s=self.began_s,
            self_id=self.self_id,
            missing=self._missing.items,
            local=self.local,
            peers=[
                _view_of(peer, queue, now_s)
                for peer in self.peers.values()
                if peer.usable(self.settings.peer_failures_max)
            ],
            placement=self.placement,
            expected=self.pushes.expected(now_s),
            origin_slots=threads - origin.in_flight if ready else 0,
            origin_in_flight=origin.in_flight,
            push_backlog=push_backlog,
            stalled=now_s - self.progressed_s > self.settings.claim_timeout_s,
            origin_lacks=self.origin_lacks.keys(),
            threads_free=queue - len(self.in_flight),
            bytes_free=limits.OUTSTANDING_MAX - self._outstanding_bytes,
        )

    def claims(self) -> bytes:
        """Bitmap of the chunks being taken from the origin, for peers to see."""
        bits = bytearray((len(self.manifest.unique_chunks) + 7) // 8)
        for attempt in self.in_flight.values():
            if attempt.source is Fixed.ORIGIN:
                set_bit(bits, attempt.wanted.number)
        return bytes(bits)

    def progress(self) -> Progress:
        origin = self.fixed[Fixed.ORIGIN].bytes_given
        local = self.fixed[Fixed.LOCAL].bytes_given
        done = self._bytes_total - self._bytes_left
        peers = done - self._bytes_there - origin - local
        return Progress(done, self._bytes_total, origin, peers, local)

    def hopeless(self, now_s: float) -> bool:
        """Some chunk can come from nowhere, so that waiting is in vain."""
        if now_s - self.began_s < self.settings.expected_s:
            return False
        peers = self.view(now_s, 0).peers
        if any(
            peer.state is PeerState.UNKNOWN or is_claimer(peer, now_s, self.settings)
            for peer in peers
        ):
            return False
        banned = self.fixed[Fixed.ORIGIN].banned
        return any(
            (banned or wanted.chunk.id in self.origin_lacks)
            and not any(holds(peer, wanted.number) for peer in peers)
            for wanted in self._missing.items
        )

    def missing_chunks(self) -> list[MissingChunk]:
        """Every chunk that is not there, and why not from each source."""
        wanted = sorted(self._open.values(), key=lambda item: item.number)
        return [MissingChunk(item.chunk.id, self._reasons(item)) for item in wanted]

    def _reasons(self, wanted: Wanted) -> Mapping[str, str]:
        origin = self.fixed[Fixed.ORIGIN]
        refused = self.origin_lacks.get(wanted.chunk.id)
        reasons = {"origin": refused or origin.banned or origin.last_error or "no answer yet"}
        for node, peer in self.peers.items():
            if peer.banned or peer.failures:
                reasons[str(node)] = peer.banned or peer.last_error
            else:
                reasons[str(node)] = peer.last_error or peer.state.value
        return reasons


def _view_of(peer: PeerSourceState, queue: int, now_s: float) -> PeerView:
    ready = peer.retry_at_s <= now_s
    return PeerView(
        peer.address.node_id,
        peer.state,
        peer.held,
        queue - peer.in_flight if ready else 0,
        peer.progressed_s,
        peer.failing,
        peer.busy > 0,
    )


class _Bag:
    """A list from which any item is removed at once, by moving the last one into its place."""

    def __init__(self, items: list[Wanted]) -> None:
        self.items = items
        self._at = {item.number: place for place, item in enumerate(items)}

    def __len__(self) -> int:
        return len(self.items)

    def add(self, item: Wanted) -> None:
        self._at[item.number] = len(self.items)
        self.items.append(item)

    def remove(self, item: Wanted) -> None:
        place, last = self._at.pop(item.number), self.items.pop()
        if last.number != item.number:
            self.items[place] = last
            self._at[last.number] = place
