"""`Fetcher`: brings all chunks of a version into the cache, verified.

The calling thread is the coordinator: it alone changes the state of the swarm, plans, and hands
tasks to the threads of the executor. Several fetches may run at once on one `Fetcher`, each in
its own thread. A crash leaves the cache as `Cache.begin` expects it: fetching again resumes.
Memory is one buffer per thread and the plan's bookkeeping, whatever the size of the model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.random import default_rng

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.pace import UNPACED, Pace
from cachd.fetch.attempts import Attempt
from cachd.fetch.blame import judge, judge_follow
from cachd.fetch.errors import FetchCancelled, FetchFailed
from cachd.fetch.events import (
    ChunkFailed,
    ChunkPushed,
    ChunkStored,
    Event,
    PeerSilent,
    PeerTold,
)
from cachd.fetch.executor import Crew
from cachd.fetch.plan import plan, push_backlog_max
from cachd.fetch.report import FetchReport, Progress
from cachd.fetch.roster import Roster
from cachd.fetch.runs import runs
from cachd.fetch.settings import FetchSettings
from cachd.fetch.swarm import Swarm
from cachd.fetch.view import Fixed
from cachd.peer.bitmaps import Mask, Numbers, pack, unpack
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerBusy
from cachd.peer.offers import Offers
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Locations
from registry_core.origin.store import Origin

Peers = Callable[[], Sequence[PeerAddress]]
OnProgress = Callable[[Progress], None]

TICK_S: Final = 0.05
"""The longest time between two looks at `cancel`."""
IDLE_PLAN_S: Final = 0.1
"""The same after a plan that found nothing to do, unless something happens that may change that."""
_IDLE_PLAN_SHARE: Final = 1 / 200
"""Of the time, for which plans that find nothing take a processor: longer ones come more seldom."""
PLAN_S: Final = 0.02
"""Between two plans while nothing of what this node asked for has ended."""
_WAITING_TICK_S: Final = 0.025
"""The same while nothing is under way: some source's time may have come."""


class Fetcher:
    """`origin` None: chunks come from peers only. `offers` are those of the peer server,
    `bulk` how bytes travel on this node, `pace` how much of the time they are stored."""

    def __init__(
        self,
        cache: Cache,
        origin: Origin | None,
        self_id: NodeId,
        incarnation: int,
        settings: FetchSettings | None = None,
        offers: Offers | None = None,
        *,
        zone: str = "",
        bulk: BulkPath = UNBOUNDED,
        pace: Pace = UNPACED,
    ) -> None:
        self._cache = cache
        self._offers = offers or Offers()
        self._origin = origin
        self._self_id = self_id
        self._zone = zone
        self._bulk = bulk
        self._pace = pace
        self._incarnation = incarnation
        self._settings = settings or FetchSettings(crowd_threads=bulk.upload_slots)

    def fetch(
        self,
        manifest: Manifest,
        locations: Locations,
        peers: Peers,
        cancel: threading.Event | None = None,
        on_progress: OnProgress | None = None,
    ) -> FetchReport:
        """Fetch what is missing of a version; call `Cache.publish` next.

        `peers` is asked now and then, and should answer at once. `on_progress` is called from the
        calling thread. FetchFailed names what no source can give; FetchCancelled after `cancel`;
        CacheFull and its kin for this node's own disk.
        """
        began_s = time.monotonic()
        filling = self._cache.begin(manifest)
        self._offers.begin(manifest.digest)
        swarm = Swarm(
            filling, locations, self._self_id, self._settings, time.monotonic(), self._zone
        )
        try:
            if filling.missing:
                self._run(swarm, peers, cancel or threading.Event(), on_progress)
        finally:  # what a fetch that fails has brought stays, and counts
            total = swarm.progress()
            if on_progress is not None:
                on_progress(total)
        return FetchReport(
            total.bytes_from_origin,
            total.bytes_from_peers,
            total.bytes_local,
            time.monotonic() - began_s,
            tuple(swarm.complaints),
        )

    def _run(
        self, swarm: Swarm, peers: Peers, cancel: threading.Event, on_progress: OnProgress | None
    ) -> None:
        crew = Crew(
            self._cache,
            self._origin,
            swarm.manifest,
            self._incarnation,
            self._bulk,
            partial(self._offers.pass_on, swarm.manifest.digest),
            store_threads=self._settings.store_threads,
            niceness=self._settings.niceness,
            pace=self._pace,
        )
        try:
            _Coordinator(self._offers, swarm, crew, peers, self._settings).run(cancel, on_progress)
        finally:
            crew.stop()
            self._offers.end(swarm.manifest.digest)


class _Coordinator:
    """The loop of one fetch."""

    def __init__(
        self, offers: Offers, swarm: Swarm, crew: Crew, peers: Peers, settings: FetchSettings
    ) -> None:
        self._offers = offers
        self._swarm = swarm
        self._crew = crew
        self._peers = peers
        self._settings = settings
        self._roster = Roster()
        self._rng = default_rng()  # spreads load, guards nothing
        self._peers_at_s = 0.0
        self._follow_at_s = 0.0
        self._planned_s = 0.0
        self._plan_at_s = 0.0
        self._waiting = False
        """Whether the last plan found nothing to do."""
        self._behind_in_pushing = False
        self._claims_stale = False
        """Whether some of what was told to be claimed will not come."""
        self._held: dict[NodeId, tuple[bytes, Mask]] = {}
        self._claimed: dict[NodeId, tuple[bytes, Numbers]] = {}
        """What peers said last that they hold and claim: mostly they say one of both again."""

    def run(self, cancel: threading.Event, on_progress: OnProgress | None) -> None:
        swarm, told_at_s = self._swarm, 0.0
        while not swarm.done:
            if cancel.is_set():
                raise FetchCancelled(
                    f"fetching {swarm.manifest.digest} was cancelled: fetch again to continue"
                )
            now_s = time.monotonic()
            swarm.held_up(self._crew.held_up_s)
            self._follow_peers(now_s)
            self._begin_planned(now_s)
            self._give_up_if_stuck(now_s)
            self._take_events()
            if on_progress is not None and now_s - told_at_s >= self._settings.progress_s:
                told_at_s = now_s
                on_progress(swarm.progress())

    def _follow_peers(self, now_s: float) -> None:
        if now_s >= self._peers_at_s:
            self._peers_at_s = now_s + self._settings.peers_refresh_s
            listed = tuple(self._peers())
            if listed != self._roster.addresses:
                self._roster = Roster(listed)
            for address in self._swarm.set_peers(self._roster, now_s):
                self._crew.unfollow(address)
            if self._swarm.passing_on:
                until_s = self._swarm.began_s + limits.FIRST_PUSH_WAIT_S
                self._offers.expect(self._swarm.manifest.digest, len(self._swarm.peers), until_s)
        if now_s < self._follow_at_s:
            return
        self._follow_at_s = now_s + TICK_S
        for peer in self._swarm.peers.to_follow(now_s):
            peer.following = True
            self._crew.follow(peer.address)

    def _begin_planned(self, now_s: float) -> None:
        """Plan when a thread is out of work, or else now and then: it costs more than an event."""
        if len(self._swarm.attempts) > self._swarm.chunks_at_once:
            return
        if now_s < self._plan_at_s and not self._behind_in_pushing:
            return
        backlog = self._offers.backlog(self._swarm.manifest.digest)
        behind = backlog >= push_backlog_max(self._swarm.nodes)
        if now_s < self._plan_at_s and behind:
            return
        self._waiting, self._behind_in_pushing = False, behind
        for node, moved_s in self._crew.moved_s().items():
            if moved_s > self._planned_s:
                self._swarm.moved(node, moved_s)
        began_s = time.thread_time()
        view = self._swarm.view(now_s, backlog, self._crew.coming_s())
        assignments = plan(view, self._settings, self._rng)
        idle_s = max(IDLE_PLAN_S, (time.thread_time() - began_s) / _IDLE_PLAN_SHARE)
        self._planned_s = now_s
        self._plan_at_s = now_s + (PLAN_S if assignments else idle_s)
        attempts = [self._swarm.begin(assignment, now_s) for assignment in assignments]
        if attempts:
            self._tell_claims()
        for together in runs(attempts, view.origin_run):
            self._crew.fetch(together, self._swarm.threads)
        self._waiting = not self._swarm.attempts

    def _tell_claims(self) -> None:
        self._claims_stale = False
        claims = pack(self._swarm.attempts.from_origin())
        self._offers.claim(self._swarm.manifest.digest, claims)

    def _give_up_if_stuck(self, now_s: float) -> None:
        swarm = self._swarm
        stalled = now_s - swarm.progressed_s > self._settings.stall_timeout_s
        if stalled or (self._waiting and swarm.hopeless(now_s)):
            missing, total = swarm.missing_chunks(), len(swarm.manifest.unique_chunks)
            raise FetchFailed(swarm.manifest.digest, missing, total)
        self._waiting = False  # ask again after the next plan

    def _take_events(self) -> None:
        """Wait for one event, then take all there are."""
        self._crew.mailbox.news_s = self._swarm.news_s
        for event in self._crew.mailbox.take(TICK_S if self._swarm.attempts else _WAITING_TICK_S):
            self._take(event)
        if self._claims_stale:
            self._tell_claims()

    def _take(self, event: Event) -> None:
        now_s, swarm = time.monotonic(), self._swarm
        match event:
            case ChunkStored(attempt):
                pusher = swarm.stored(attempt, now_s)
                if pusher is not None:
                    self._crew.tell_held(pusher, attempt.wanted.number)
                for other in swarm.attempts.at(attempt.wanted.number):
                    self._crew.cancel(other)
                if attempt.passed_on or (attempt.source is Fixed.ORIGIN and swarm.pushing):
                    self._offers.push(swarm.manifest.digest, attempt.wanted.number)
                self._plan_if_idling(now_s)
            case ChunkFailed(attempt, error):
                self._failed(attempt, error, now_s)
            case ChunkPushed(address, number):
                swarm.pushed(address.node_id, number, now_s)
            case PeerTold(address, incarnation, maps):
                before = swarm.peers[address.node_id].state
                swarm.seen(
                    address.node_id, incarnation, self._unpacked(address.node_id, maps), now_s
                )
                if swarm.peers[address.node_id].state is not before:
                    self._plan_at_s = now_s  # it may be what was waited for
                elif not swarm.pushing:  # what it has now is to be asked for
                    self._plan_at_s = min(self._plan_at_s, self._planned_s + PLAN_S)
            case PeerSilent(address, error):
                peer = swarm.peers[address.node_id]
                peer.following = False
                judge_follow(swarm, peer, error, now_s)
                self._plan_at_s = now_s

    def _failed(self, attempt: Attempt, error: Exception, now_s: float) -> None:
        if attempt.passed_on:
            self._offers.withdraw(self._swarm.manifest.digest, attempt.wanted.number)
        judge(self._swarm, attempt, error, now_s)
        self._claims_stale |= attempt.source is Fixed.ORIGIN
        if isinstance(error, PeerBusy):  # who else holds it is likely to be busy too
            self._plan_at_s = min(self._plan_at_s, self._planned_s + PLAN_S)
        else:
            self._plan_if_idling(now_s)

    def _plan_if_idling(self, now_s: float) -> None:
        if self._swarm.idling:
            self._plan_at_s = now_s

    def _unpacked(
        self, node: NodeId, maps: tuple[bytes, bytes] | None
    ) -> tuple[Mask, Numbers] | None:
        if maps is None:
            return None
        (held, claimed), count = maps, len(self._swarm.chunks)
        claimed_before, held_before = self._claimed.get(node), self._held.get(node)
        if claimed_before is None or claimed_before[0] != claimed:
            numbers = np.flatnonzero(unpack(claimed, count))
            claimed_before = self._claimed[node] = claimed, numbers
        if held_before is None or held_before[0] != held:
            held_before = self._held[node] = held, unpack(held, count)
        return held_before[1], claimed_before[1]
