"""A host of the simulation: the node's own planner, swarm state, offers and blame, over links that
are computed. What threads and sockets do in a node is told here by events of the clock."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from bench.simulate.engine import Clock, Downlink, Flow, Uplink
from cachd import limits
from cachd.cache.cache import Filling
from cachd.fetch.attempts import Attempt
from cachd.fetch.blame import judge, judge_follow
from cachd.fetch.fetcher import PLAN_S
from cachd.fetch.plan import plan
from cachd.fetch.roster import Roster
from cachd.fetch.settings import FetchSettings
from cachd.fetch.swarm import Swarm
from cachd.fetch.view import Fixed
from cachd.peer.bitmaps import Mask, Numbers
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerBusy, PeerUnreachable
from cachd.peer.offers import Offers
from registry_core.domain.identifiers import NodeId
from registry_core.domain.packs import Locations

_IDLE_S = 0.05
"""Between two plans that find nothing: a node is woken by what it waits for, mostly sooner."""


@dataclass(slots=True)
class World:
    """What all hosts of a region share. `link`: what lies between them and the origin, if that is
    another region's."""

    clock: Clock
    rng: np.random.Generator
    settings: FetchSettings
    latency_s: float
    origin: Uplink
    running: int
    """Hosts that are neither dead nor done."""
    link: Downlink | None = None
    hosts: dict[NodeId, Host] = field(default_factory=dict)
    awaiting: dict[NodeId, list[Host]] = field(default_factory=dict)
    """By host that has yet to begin: who follows it."""
    origin_bytes: int = 0


@dataclass(slots=True, eq=False)
class Feed:
    """What one follower is sent, one chunk after the other."""

    follower: Host
    there: Mask
    flow: Flow | None = None
    maps_due: bool = False
    """They go between two chunks."""


class Host:
    def __init__(
        self, world: World, address: PeerAddress, filling: Filling, locations: Locations,
        up: Uplink, down: Downlink,
    ) -> None:  # fmt: skip
        self.world, self.address, self.up, self.down = world, address, up, down
        self.node = address.node_id
        self.digest = filling.manifest.digest
        self.swarm = Swarm(
            filling, locations, self.node, world.settings, world.clock.now_s, address.zone
        )
        self.offers = Offers(lambda: world.clock.now_s)
        self.feeds: dict[NodeId, Feed] = {}
        self.uploading = 0
        self.began_s = world.clock.now_s
        self.done_s: float | None = None
        self.dead = False
        self._held = np.zeros(len(self.swarm.chunks), np.bool_)
        self._told: Mask | None = None
        self._claimed: Numbers = np.zeros(0, np.intp)
        self._maps_due = False
        self._told_s = -1.0
        self._plan_at_s = 0.0
        self._planned_s = 0.0
        self._wakes_s = math.inf
        self._coming_s: dict[NodeId, float] = {}
        self._queue: deque[Attempt] = deque()
        self._busy = 0
        self._flows: dict[Attempt, Flow] = {}

    # Beginning and ending

    def start(self, roster: Roster) -> None:
        self.offers.begin(self.digest)
        self.swarm.set_peers(roster, self.world.clock.now_s)
        for node in self.swarm.peers:
            self._soon(partial(self.follow, node), 3)  # TCP, hellos, the request
        for follower in self.world.awaiting.pop(self.node, ()):
            self._soon(partial(follower.follow, self.node))
        self._plan_soon()

    def die(self) -> None:
        self.world.running -= self.done_s is None
        self.dead = True
        for feed in self.feeds.values():
            if feed.flow is not None:
                feed.flow.cut = True
            self._soon(partial(feed.follower.lost, self.node))
        for flow in self._flows.values():
            flow.cut = True

    def lost(self, node: NodeId) -> None:
        """A peer that was followed has gone."""
        peer = self.swarm.peers[node]
        peer.following = False
        self._coming_s.pop(node, None)
        now_s = self.world.clock.now_s
        judge_follow(self.swarm, peer, PeerUnreachable("it died"), now_s)
        for attempt, flow in list(self._flows.items()):
            if attempt.source == node:
                flow.cut = True
                self._failed(attempt, PeerUnreachable("it died"))
        self._plan_soon()

    # Following, and being followed

    def follow(self, node: NodeId) -> None:
        host = self.world.hosts.get(node)
        if host is not None and host.dead:
            self.lost(node)
            return
        self.swarm.peers[node].following = True
        if host is not None:
            host.followed_by(self, self._held.copy())
            return
        self.world.awaiting.setdefault(node, []).append(self)
        self.swarm.seen(node, 1, None, self.world.clock.now_s)
        self._plan_soon()

    def followed_by(self, follower: Host, held: Mask) -> None:
        self.feeds[follower.node] = feed = Feed(follower, held)
        self.offers.next_push(self.digest, feed)  # from here on it counts as a follower
        self._tell_maps(feed)
        self._feed(feed)

    def spared(self, follower: NodeId, number: int) -> None:
        """The follower has the chunk from elsewhere."""
        feed = self.feeds.get(follower)
        if feed is not None:
            feed.there[number] = True

    def _feed(self, feed: Feed) -> None:
        while feed.flow is None and not (self.dead or feed.follower.dead):
            number = self.offers.next_push(self.digest, feed)
            if number is None:
                return
            if feed.there[number]:
                self.offers.sent(self.digest, feed, needed=False)
                continue
            arrived = partial(self._fed, feed, number)
            moved = partial(feed.follower.moved, self.node)
            length = self.swarm.chunks[number].length
            feed.flow = Flow(length, feed.follower.down, arrived, moved=moved)
            self.up.send(feed.flow)
            feed.follower.coming(self.node)

    def _fed(self, feed: Feed, number: int) -> None:
        feed.flow = None
        self.offers.sent(self.digest, feed)
        feed.follower.pushed(self.node, number)
        if feed.maps_due:
            self._tell_maps(feed)
        self._feed(feed)

    def coming(self, node: NodeId) -> None:
        self._coming_s[node] = self.world.clock.now_s

    def moved(self, node: NodeId) -> None:
        self.swarm.moved(node, self.world.clock.now_s)

    def pushed(self, node: NodeId, number: int) -> None:
        if self.dead:
            return
        del self._coming_s[node]
        self.swarm.pushed(node, number, self.world.clock.now_s)
        self._have(number)
        self._plan_soon()

    # Maps

    def _have(self, number: int) -> None:
        if self._held[number]:
            return
        self._held[number] = True
        self._told = None
        if self.swarm.done and self.done_s is None:
            self.done_s = self.world.clock.now_s
            self.world.running -= 1
        if not self._maps_due:
            self._maps_due = True
            pause_s = self.offers.maps_interval_s(self.digest)
            self.world.clock.at(self._told_s + pause_s, self._tell_all)

    def _tell_all(self) -> None:
        self._maps_due, self._told_s = False, self.world.clock.now_s
        for feed in self.feeds.values():
            self._tell_maps(feed)

    def _tell_maps(self, feed: Feed) -> None:
        feed.maps_due = feed.flow is not None
        if self.dead or feed.follower.swarm.done or feed.maps_due:
            return
        if self._told is None:
            self._told = self._held.copy()
        promised = self._claimed
        _, to_send = self.offers.promised(self.digest, feed)
        if to_send:
            promised = np.union1d(promised, np.array(to_send, np.intp))
        feed.follower.heard(self.node, self._told, promised)  # at once, or events double

    def heard(self, node: NodeId, held: Mask, promised: Numbers) -> None:
        if not self.dead and not self.swarm.done:
            self.swarm.seen(node, 1, (held, promised), self.world.clock.now_s)
            if not self.swarm.pushing:
                self._plan_at_s = min(self._plan_at_s, self._planned_s + PLAN_S)
            self._plan_soon()

    # Planning

    def _plan_soon(self) -> None:
        sooner = self._plan_at_s < self._wakes_s
        if sooner and len(self.swarm.attempts) <= self.swarm.chunks_at_once:
            self._wakes_s = self._plan_at_s
            self.world.clock.at(self._wakes_s, partial(self._wake, self._wakes_s))

    def _wake(self, wakes_s: float) -> None:
        if self._wakes_s == wakes_s:  # or it was put forward
            self._wakes_s = math.inf
            if not (self.dead or self.swarm.done):
                self._plan()

    def _plan(self) -> None:
        self._planned_s = now_s = self.world.clock.now_s
        self._plan_at_s = now_s + PLAN_S
        view = self.swarm.view(now_s, self.offers.backlog(self.digest), self._coming_s)
        assignments = plan(view, self.world.settings, self.world.rng)
        attempts = [self.swarm.begin(assignment, now_s) for assignment in assignments]
        self._queue.extend(attempts)
        if any(attempt.source is Fixed.ORIGIN for attempt in attempts):
            self._claim()
        self._work()
        if not assignments:
            self._plan_at_s = now_s + _IDLE_S
        self._plan_soon()

    def _claim(self) -> None:
        self._claimed = np.flatnonzero(self.swarm.attempts.from_origin())
        self._tell_all()

    # Asking

    def _work(self) -> None:
        while self._busy < self.swarm.threads and self._queue:
            self._busy += 1
            attempt = self._queue.popleft()
            self._soon(partial(self._ask, attempt))

    def _ask(self, attempt: Attempt) -> None:
        """The request is at its source."""
        if self.dead:
            return
        if attempt.abandoned:
            self._failed(attempt, PeerUnreachable("it is not wanted any more"))
            return
        length = attempt.wanted.chunk.length
        flow = Flow(length, self.down, partial(self._came, attempt, self.world.clock.now_s))
        if attempt.source is Fixed.ORIGIN:
            self.world.origin_bytes += length
            flow.link = self.world.link
            self._flows[attempt] = flow
            self.world.origin.send(flow)
            return
        host = self.world.hosts[attempt.source]  # type: ignore[index]
        if host.dead:
            self._failed(attempt, PeerUnreachable("it died"))
        elif host.uploading >= limits.SERVER_UPLOAD_SLOTS:
            self._soon(partial(self._failed, attempt, PeerBusy("no slot is free")))
        else:
            host.uploading += 1
            self._flows[attempt] = flow
            host.up.send(flow)

    def _came(self, attempt: Attempt, asked_s: float) -> None:
        del self._flows[attempt]
        self._busy -= 1
        now_s, number = self.world.clock.now_s, attempt.wanted.number
        attempt.took_s = now_s - asked_s
        pusher = self.swarm.stored(attempt, now_s)
        if pusher is not None:
            host = self.world.hosts[pusher.node_id]
            self._soon(partial(host.spared, self.node, number))
        for other in self.swarm.attempts.at(number):
            self._cancel(other)
        if attempt.source is Fixed.ORIGIN:
            self._claimed = np.flatnonzero(self.swarm.attempts.from_origin())
            if self.swarm.pushing:
                self.offers.push(self.digest, number)
            self._have(number)
            for feed in self.feeds.values():
                self._feed(feed)
        else:
            self.world.hosts[attempt.source].uploading -= 1  # type: ignore[index]
            self._have(number)
        self._again()

    def _cancel(self, attempt: Attempt) -> None:
        attempt.abandoned = True
        flow = self._flows.get(attempt)
        if flow is not None:
            flow.cut = True
            self._failed(attempt, PeerUnreachable("it is not wanted any more"))

    def _failed(self, attempt: Attempt, error: Exception) -> None:
        if self._flows.pop(attempt, None) is not None and attempt.source in self.world.hosts:
            self.world.hosts[attempt.source].uploading -= 1  # type: ignore[index]
        self._busy -= 1
        judge(self.swarm, attempt, error, self.world.clock.now_s)
        if attempt.source is Fixed.ORIGIN:
            self._claim()
        self._again(busy=isinstance(error, PeerBusy))

    def _again(self, *, busy: bool = False) -> None:
        if busy:
            self._plan_at_s = min(self._plan_at_s, self._planned_s + PLAN_S)
        elif self.swarm.idling:
            self._plan_at_s = self.world.clock.now_s
        self._work()
        self._plan_soon()

    def _soon(self, act: partial[None], times: int = 1) -> None:
        """After so many crossings of the network."""
        self.world.clock.after(times * self.world.latency_s, act)
