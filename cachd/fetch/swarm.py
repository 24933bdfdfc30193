"""The mutable state of one fetch. Owned by the coordinator's thread; no locks, no I/O, no clock.

A chunk is lacking until it is stored; meanwhile attempts at it are under way. Every attempt that
was begun ends in `stored` or `again`; where a push or another attempt was faster, the chunk is
stored already by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cachd import limits
from cachd.cache.cache import Filling
from cachd.fetch.attempts import Attempt, Attempts
from cachd.fetch.errors import MissingChunk
from cachd.fetch.lateness import Lateness
from cachd.fetch.origin_pace import OriginPace
from cachd.fetch.patience import Patience
from cachd.fetch.peers import Peers
from cachd.fetch.placement import Placement
from cachd.fetch.plan import Assignment, Wanted
from cachd.fetch.pushes import NOBODY, ExpectedPushes
from cachd.fetch.report import Complaint, Progress
from cachd.fetch.roster import Roster
from cachd.fetch.settings import FetchSettings
from cachd.fetch.source_state import PeerSourceState, SourceState
from cachd.fetch.view import Fixed, PeerState, Source, SwarmView
from cachd.peer.bitmaps import Mask, Numbers
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Chunk
from registry_core.domain.packs import Locations

_SILENT = (PeerState.UNKNOWN, PeerState.WITHOUT)


class Swarm:
    def __init__(
        self,
        filling: Filling,
        locations: Locations,
        self_id: NodeId,
        settings: FetchSettings,
        now_s: float,
        zone: str = "",
    ) -> None:
        self.manifest = filling.manifest
        self.self_id = self_id
        self.settings = settings
        self.began_s = now_s
        self.progressed_s = now_s
        self._answered_s: float | None = None
        self._yields_until_s = -math.inf
        self.fixed = {source: SourceState() for source in Fixed}
        self.complaints: list[Complaint] = []
        self.chunks = tuple(self.manifest.unique_chunks.values())
        seed = int.from_bytes(self.manifest.digest.raw[:4])
        self.peers = Peers(self_id, zone, seed, len(self.chunks), settings.peer_failures_max)
        self.attempts = Attempts(len(self.chunks))
        self.placement = Placement([chunk.id for chunk in self.chunks])
        self.pushes = ExpectedPushes(settings)
        self._late = Lateness(1.0, settings.hedge_s, settings.claim_timeout_s)
        self._patience = Patience(settings)
        self.origin_pace = OriginPace(max(settings.threads, settings.crowd_threads))
        self._locations = locations
        missing = {chunk.id for chunk in filling.missing}
        self._lacking = self._mask(lambda chunk: chunk.id in missing)
        self._none: Mask = np.zeros(len(self.chunks), np.bool_)
        self._told: Mask = self._none.copy()
        """What peers have told that they hold."""
        self._local = self._mask(lambda chunk: chunk.id in filling.local)
        self._origin_lacks = self._mask(lambda chunk: chunk.id not in locations)
        self._refused_by_origin: dict[int, str] = {}
        self._bytes_there = filling.bytes_there
        self._bytes_left = sum(chunk.length for chunk in filling.missing)
        self._bytes_total = sum(chunk.length for chunk in self.chunks)
        self._chunk_bytes = max((chunk.length for chunk in self.chunks), default=1)
        self.origin_run = 1
        """By the last view."""

    def _mask(self, says: Callable[[Chunk], bool]) -> Mask:
        return np.fromiter(map(says, self.chunks), np.bool_, len(self.chunks))

    @property
    def done(self) -> bool:
        return not self._bytes_left

    @property
    def nodes(self) -> int:
        """How many there are, this one included."""
        return 1 + len(self.peers) + len(self.peers.others)

    @property
    def pushing(self) -> bool:
        """Whether nodes push what they bring into the region: where all follow all. Elsewhere a
        chunk is passed on as it is asked for."""
        return not self.peers.others

    @property
    def passing_on(self) -> bool:
        """Whether chunks go to followers while they come from the origin: where many nodes share
        its link, a whole one takes long to come."""
        return self.pushing and self.nodes >= limits.PASSING_ON_NODES

    @property
    def threads(self) -> int:
        """How many chunks are asked for at once."""
        few = self.settings.threads
        return few if self.pushing else max(few, self.settings.crowd_threads)

    @property
    def chunks_at_once(self) -> int:
        """What the threads ask for at once."""
        return self.threads * self.origin_run

    @property
    def idling(self) -> bool:
        """Whether threads are out of work, so that a plan is worth its cost at once."""
        return len(self.attempts) < self.chunks_at_once // 2

    @property
    def news_s(self) -> float:
        """For how long what peers tell can wait to be taken together: the more tell, the longer;
        not at all where it may be asked for, or is the last."""
        if not self.pushing or self._bytes_left <= limits.ENDGAME_CHUNKS * self._chunk_bytes:
            return 0.0
        return min(limits.NEWS_S_MAX, limits.NEWS_S_PER_NODE * self.nodes)

    def state_of(self, source: Source) -> SourceState:
        return self.fixed[source] if isinstance(source, Fixed) else self.peers[source]

    # Peers

    def set_peers(self, roster: Roster, now_s: float) -> list[PeerAddress]:
        """Take over the list of peers. Returns those that should not be followed any more."""
        return self.peers.set(roster, now_s)

    def seen(
        self, node: NodeId, incarnation: int, maps: tuple[Mask, Numbers] | None, now_s: float
    ) -> None:
        """A peer told what it holds and will push, or None if it does not know the version."""
        peer = self.peers[node]
        peer.follow_failures = 0
        if peer.state is PeerState.UNKNOWN:
            self._answered_s = now_s
        if incarnation != peer.incarnation:
            peer.incarnation, peer.failures, peer.retry_at_s = incarnation, 0, 0.0
        if maps is None:
            if peer.state is not PeerState.WITHOUT:
                peer.progressed_s, peer.state = now_s, PeerState.WITHOUT
            return
        held, claimed = maps
        if not _same(claimed, peer.claimed):
            self.pushes.promised(node, claimed[self._lacking[claimed]].tolist(), now_s)
            peer.progressed_s = now_s
        if peer.state in _SILENT or not _same(held, peer.held):
            self._note_held(held, now_s, before=peer.state in _SILENT)
            whole = np.count_nonzero(held) == len(held)
            peer.progressed_s = now_s
            if peer.state in _SILENT and self.fixed[Fixed.ORIGIN].in_flight > self.threads:
                self.abandon(Fixed.ORIGIN)  # what waits for a thread is for all to share
            peer.state = PeerState.COMPLETE if whole else PeerState.FILLING
        peer.held, peer.claimed = held, claimed

    def _note_held(self, held: Mask, now_s: float, *, before: bool) -> None:
        """`before`: it may have held them for long."""
        fresh = held & ~self._told
        if np.count_nonzero(fresh):
            self._told |= fresh
            if self.pushing and not before:
                self.pushes.appeared((fresh & self._lacking).nonzero()[0].tolist(), now_s)

    def lost(self, peer: PeerSourceState) -> None:
        """It is not followed any more. Should it be again, it promises anew."""
        peer.claimed = peer.claimed[:0]
        self.pushes.gone(peer.address.node_id)

    # Attempts

    def begin(self, assignment: Assignment, now_s: float) -> Attempt:
        wanted, source = assignment.wanted, assignment.source
        address = None if isinstance(source, Fixed) else self.peers[source].address
        location = self._locations[wanted.chunk.id] if source is Fixed.ORIGIN else None
        attempt = Attempt(wanted, source, address, location, now_s)
        attempt.passed_on = source is Fixed.ORIGIN and self.passing_on and bool(wanted.chunk.marks)
        self.attempts.add(attempt)
        self.state_of(source).in_flight += 1
        return attempt

    def end(self, attempt: Attempt) -> SourceState:
        """Either way: the attempt is not under way any more. Returns its source's state."""
        self.attempts.remove(attempt)
        state = self.state_of(attempt.source)
        state.in_flight -= 1
        return state

    def stored(self, attempt: Attempt, now_s: float) -> PeerAddress | None:
        """The attempt brought the chunk. Returns the peer that was about to push it, if any."""
        state = self.end(attempt)
        state.failures = state.busy = 0
        self._late.took(now_s - attempt.began_s)
        if attempt.passed_on:
            self._yields_until_s = now_s + limits.AHEAD_WAIT_SHARE * (now_s - attempt.began_s)
        if attempt.source is Fixed.ORIGIN:
            self.origin_pace.gave(attempt.together, attempt.took_s)
            self._patience.took(now_s - attempt.began_s)
        self._settle(attempt.wanted.number, state, now_s)
        pusher = self.pushes.came(None, attempt.wanted.number, now_s)
        known = None if pusher is None else self.peers.get(pusher)
        return None if known is None else known.address

    def again(self, attempt: Attempt) -> None:
        """The attempt ended without the chunk."""
        self.end(attempt)

    def pushed(self, node: NodeId, number: int, now_s: float) -> None:
        """A peer sent a chunk unasked."""
        self.pushes.came(node, number, now_s)
        self._settle(number, self.peers[node], now_s)

    def moved(self, node: NodeId, at_s: float) -> None:
        """A part of a chunk came from this peer then."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.progressed_s = max(peer.progressed_s, at_s)

    def _settle(self, number: int, state: SourceState, now_s: float) -> None:
        """The chunk is stored; only who was first counts as its source."""
        if isinstance(state, PeerSourceState):
            state.progressed_s = now_s
        if not self._lacking[number]:
            return
        self._lacking[number] = False
        state.bytes_given += self.chunks[number].length
        self._bytes_left -= self.chunks[number].length
        self.progressed_s = now_s

    def held_up(self, until_s: float) -> None:
        """This node's own limit made bytes wait until then: neither a standstill nor late."""
        self.progressed_s = max(self.progressed_s, until_s)
        self._late.held_up(until_s)
        self.pushes.held_up(until_s)

    def not_local(self, wanted: Wanted) -> None:
        """This cache does not hold it any more, or not soundly."""
        self._local[wanted.number] = False

    def refused_by_origin(self, wanted: Wanted, reason: str) -> None:
        """The origin does not have it, or not soundly."""
        self._origin_lacks[wanted.number] = True
        self._refused_by_origin[wanted.number] = reason

    def ban(self, source: Source, reason: str) -> None:
        """Do not use a source any more in this fetch."""
        self.state_of(source).banned = reason
        self.abandon(source)

    def abandon(self, source: Source) -> None:
        """What waits for a worker to ask this source is not begun any more, and planned again."""
        for attempt in self.attempts:
            attempt.abandoned |= attempt.source == source

    def complain(self, source: Source, chunk_id: ChunkId | None, reason: str) -> None:
        if len(self.complaints) < limits.COMPLAINTS_MAX:
            self.complaints.append(Complaint(str(source), chunk_id, reason))

    # Views

    def view(
        self, now_s: float, push_backlog: int, coming_s: Mapping[NodeId, float] = NOBODY
    ) -> SwarmView:
        """`coming_s`: by peer, since when a chunk that it pushes has been coming."""
        self.origin_run = run = self._origin_run(now_s)
        queue = self.threads * run * limits.QUEUED_PER_THREAD
        of_one = queue if self.pushing else limits.CROWD_PER_PEER
        origin = self.fixed[Fixed.ORIGIN]
        ready = not origin.banned and origin.retry_at_s <= now_s
        patience_s = self._patience_s(now_s)
        still = self._still(now_s - patience_s)
        return SwarmView(
            now_s=now_s,
            began_s=self.began_s,
            answered_s=self._answered_s,
            self_id=self.self_id,
            chunks=self.chunks,
            lacking=self._lacking.nonzero()[0],
            in_flight=self.attempts.flying,
            late=self._late_ones(now_s),
            local=self._local,
            peers=self.peers.view(of_one, now_s),
            others=self.peers.others,
            placement=self.placement,
            expected=self._expected(now_s, patience_s, still, coming_s),
            under_way=self.pushes.under_way(now_s, patience_s, still) if self.pushes else {},
            origin_slots=self._origin_slots(run) if ready else 0,
            origin_in_flight=origin.in_flight,
            push_backlog=push_backlog,
            yields_until_s=self._yields_until_s,
            patience_s=patience_s,
            stalled=int((now_s - self.progressed_s) / patience_s),
            origin_lacks=self._origin_lacks,
            threads_free=queue - len(self.attempts),
            bytes_free=limits.OUTSTANDING_MAX - self.attempts.bytes,
            origin_run=run,
        )

    def _late_ones(self, now_s: float) -> Mapping[int, Source]:
        """At the end, what is waited for longer than usual, and from whom."""
        if np.count_nonzero(self._lacking) > limits.ENDGAME_CHUNKS:
            return {}
        return self.attempts.single_since(
            self._late.began_before_s(now_s, self.settings.claim_timeout_s)
        )

    def _origin_run(self, now_s: float) -> int:
        """How many neighbours in a pack to ask the origin for in one request: several where nobody
        waits for one of them to be passed on, chunks are small, and the origin keeps up; not many
        at first where somebody may come who does."""
        alone = not self.peers.others and self.peers.all_are(PeerState.WITHOUT)
        starting = self.peers and now_s - self.began_s < self.settings.expected_s
        if not alone or starting or self.origin_pace.slowed:
            return 1
        most = max(1, limits.ORIGIN_RUN_BYTES // self._chunk_bytes)
        return min(most, self.origin_pace.run) if self.peers else most

    def _origin_slots(self, run: int) -> int:
        """For whole requests."""
        at_once = min(self.threads, self.origin_pace.at_once) * run
        free = max(0, at_once - self.fixed[Fixed.ORIGIN].in_flight)
        return free - free % run

    def _still(self, since_s: float) -> Collection[NodeId]:
        """Who shows no progress, if somebody is to push anything."""
        return self.peers.still_since(since_s) if self.pushes else ()

    def _expected(
        self,
        now_s: float,
        patience_s: float,
        still: Collection[NodeId],
        coming_s: Mapping[NodeId, float],
    ) -> Mask:
        if not self.pushes:
            return self._none
        mask = np.zeros(len(self.chunks), np.bool_)
        mask[list(self.pushes.expected(now_s, patience_s, still, coming_s))] = True
        return mask

    def _patience_s(self, now_s: float) -> float:
        asked_s = (a.began_s for a in self.attempts if a.source is Fixed.ORIGIN)
        return self._patience.seconds(now_s - min(asked_s, default=now_s))

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
        if self.peers.others:
            return False  # what they hold may come by way of peers
        peers = self.peers.view(0, now_s)
        if (peers.unknown | peers.claiming(now_s, self._patience_s(now_s))).any():
            return False
        lost = self._lacking & ~self.attempts.flying
        if not self.fixed[Fixed.ORIGIN].banned:
            lost &= self._origin_lacks
        return bool((lost & ~peers.held.any(axis=0)).any())

    def missing_chunks(self) -> list[MissingChunk]:
        """Every chunk that is not there, and why not from each source."""
        return [
            MissingChunk(self.chunks[number].id, self._reasons(int(number)))
            for number in np.flatnonzero(self._lacking)
        ]

    def _reasons(self, number: int) -> Mapping[str, str]:
        origin = self.fixed[Fixed.ORIGIN]
        refused = self._refused_by_origin.get(number)
        if refused is None and self._origin_lacks[number]:
            refused = "no location known (the hint does not name it)"
        reasons = {"origin": refused or origin.banned or origin.last_error or "no answer yet"}
        for node, peer in self.peers.items():
            if peer.banned or peer.failures:
                reasons[str(node)] = peer.banned or peer.last_error
            else:
                reasons[str(node)] = peer.last_error or peer.state.value
        return reasons


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one is other or one.tobytes() == other.tobytes()
