"""What is simulated: a version, regions of hosts with their links, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np
from blake3 import blake3

from bench.simulate.engine import Clock, Downlink, Uplink
from bench.simulate.host import Host, World
from cachd.cache.cache import Filling
from cachd.fetch.roster import Roster
from cachd.fetch.settings import FetchSettings
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.domain.packs import Location, Locations, PackName

QUANTUM_MIN, QUANTA = 64 << 10, 4
"""A chunk goes in so many parts, none smaller: finer, and it takes as much longer to compute."""
_TOLD = 100
"""How often progress is told, within the bound."""
HEADERS = 1514 / 1448
"""Ethernet frames of 1,514 bytes carry 1,448 of a TCP stream with timestamps."""


@dataclass(frozen=True)
class Scenario:
    """Rates in bits a second. `slow`: (fraction of the hosts, their rate). `late`: (fraction, by
    how many seconds at most). `failing`: (fraction, that die within so many seconds). `between`:
    of the link from the first region to each other, which has no origin of its own; 0: each has."""

    nodes: int
    size: int
    chunk: int
    rate: float
    origin_rate: float
    latency_s: float
    seed: int
    zones: int = 1
    slow: tuple[float, float] = (0.0, 0.0)
    late: tuple[float, float] = (0.0, 0.0)
    failing: tuple[float, float] = (0.0, 0.0)
    between: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """Of one region. Seconds from each host's own beginning to its last chunk."""

    seconds: Sequence[float]
    bound_s: float
    origin_copies: float
    unfinished: int
    events: int


def version_of(size: int, chunk: int, seed: int) -> Filling:
    """All of a version of one file is missing."""
    count = -(-size // chunk)
    lengths = [min(chunk, size - n * chunk) for n in range(count)]
    chunks = tuple(
        Chunk(ChunkId(blake3(b"%d %d" % (seed, n)).digest()), length)
        for n, length in enumerate(lengths)
    )
    manifest = Manifest((ModelFile("weights", size, bytes(32), chunks),))
    return Filling(manifest, chunks, frozenset(), 0)


def lower_bound_s(scenario: Scenario, rates: Sequence[float]) -> float:
    """No schedule is faster (Kumar and Ross, "Peer-Assisted File Distribution: The Minimum
    Distribution Time", 2006): one copy must leave the origin, all of it must enter the slowest
    host, and everything that enters hosts must leave the origin or a host; headers included."""
    everything = len(rates) * scenario.size / (scenario.origin_rate + sum(rates))
    once = max(scenario.size / scenario.origin_rate, scenario.size / min(rates))
    return 8 * HEADERS * max(once, everything)


def simulate(scenario: Scenario) -> Outcome:
    """One region."""
    return simulate_regions(scenario, 1)[0]


def simulate_regions(
    scenario: Scenario,
    regions: int,
    on_progress: Callable[[float, float], None] = lambda _now_s, _bound_s: None,
) -> list[Outcome]:
    """Several at once, each with its own dice. `on_progress` hears how many seconds have passed in
    them, of how many at least."""
    clock = Clock()
    made = [_Region(clock, replace(scenario, seed=scenario.seed + n)) for n in range(regions)]
    if scenario.between:
        for far in made[1:]:
            far.world.origin = made[0].world.origin
            far.world.link = Downlink(scenario.between / 8 / HEADERS)
    longest_s = max(region.bound_s for region in made)

    def tell() -> None:
        on_progress(clock.now_s, longest_s)
        clock.after(longest_s / _TOLD, tell)

    clock.after(longest_s / _TOLD, tell)
    running, worlds = attrgetter("running"), [region.world for region in made]
    clock.run(lambda: not any(map(running, worlds)), limit_s=100 * longest_s)
    return [region.outcome() for region in made]


class _Region:
    """Hosts that will begin by the clock, with an origin of their own at first."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        self.clock, self.scenario = clock, scenario
        self.rng = np.random.default_rng(scenario.seed)
        slow, late, failing = map(self._some, (scenario.slow, scenario.late, scenario.failing))
        failing -= late
        count = scenario.nodes
        self.rates = [scenario.slow[1] if n in slow else scenario.rate for n in range(count)]
        self.filling = version_of(scenario.size, scenario.chunk, scenario.seed)
        pack = PackName(bytes(32))
        missing = self.filling.missing
        self.locations: Locations = {c.id: Location(pack, 0, c.length) for c in missing}
        origin, settings = self._uplink(scenario.origin_rate), FetchSettings()
        self.world = World(clock, self.rng, settings, scenario.latency_s, origin, running=count)
        self.roster = Roster(
            PeerAddress(
                NodeId(f"node-{n}"), "10.0.0.1", 1 + n % 65_535, "", f"zone-{n % scenario.zones}"
            )
            for n in range(count)
        )
        began_s = [
            float(self.rng.uniform(0, scenario.late[1])) if n in late else 0.0 for n in range(count)
        ]
        for place in range(count):
            clock.at(began_s[place], partial(self._begin, place, dies=place in failing))

    @property
    def bound_s(self) -> float:
        alone_s = lower_bound_s(self.scenario, self.rates)
        if self.world.link is None:
            return alone_s
        return max(alone_s, self.scenario.size / self.world.link.rate)

    def outcome(self) -> Outcome:
        alive = [host for host in self.world.hosts.values() if not host.dead]
        seconds = [host.done_s - host.began_s for host in alive if host.done_s is not None]
        copies = self.world.origin_bytes / self.scenario.size
        unfinished = len(alive) - len(seconds)
        return Outcome(seconds, self.bound_s, copies, unfinished, self.clock.events)

    def _some(self, share: tuple[float, float]) -> set[int]:
        count = self.scenario.nodes
        return set(self.rng.choice(count, round(share[0] * count), replace=False).tolist())

    def _uplink(self, rate: float) -> Uplink:
        quantum = max(QUANTUM_MIN, self.scenario.chunk // QUANTA)
        return Uplink(self.clock, rate / 8 / HEADERS, quantum, self.scenario.latency_s)

    def _begin(self, place: int, *, dies: bool) -> None:
        address, rate = self.roster.addresses[place], self.rates[place]
        host = Host(
            self.world, address, self.filling, self.locations,
            self._uplink(rate), Downlink(rate / 8 / HEADERS),
        )  # fmt: skip
        self.world.hosts[address.node_id] = host
        host.start(self.roster)
        if dies:
            self.clock.after(float(self.rng.uniform(0, self.scenario.failing[1])), host.die)
