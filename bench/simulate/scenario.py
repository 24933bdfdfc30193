"""What is simulated: a version, regions of hosts with their links, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from blake3 import blake3

from bench.simulate.engine import Clock, Downlink, Uplink
from bench.simulate.host import Host, World
from cachd.cache.cache import Filling
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
    how many seconds at most). `failing`: (fraction, that die within so many seconds)."""

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


def simulate(
    scenario: Scenario, on_progress: Callable[[float, float], None] = lambda _now_s, _bound_s: None
) -> Outcome:
    """One region. `on_progress` hears how many seconds have passed in it, of how many at least."""
    clock, rng = Clock(), np.random.default_rng(scenario.seed)
    count = scenario.nodes
    slow, late, failing = (
        set(rng.choice(count, round(fraction * count), replace=False).tolist())
        for fraction in (scenario.slow[0], scenario.late[0], scenario.failing[0])
    )
    failing -= late
    rates = [scenario.slow[1] if n in slow else scenario.rate for n in range(count)]
    filling = version_of(scenario.size, scenario.chunk, scenario.seed)
    pack = PackName(bytes(32))
    locations: Locations = {c.id: Location(pack, 0, c.length) for c in filling.missing}

    def uplink(rate: float) -> Uplink:
        quantum = max(QUANTUM_MIN, scenario.chunk // QUANTA)
        return Uplink(clock, rate / 8 / HEADERS, quantum, scenario.latency_s)

    origin = uplink(scenario.origin_rate)
    world = World(clock, rng, FetchSettings(), scenario.latency_s, origin, running=count)
    addresses = [
        PeerAddress(
            NodeId(f"node-{n}"), "10.0.0.1", 1 + n % 65_535, "", f"zone-{n % scenario.zones}"
        )
        for n in range(count)
    ]
    began_s = [float(rng.uniform(0, scenario.late[1])) if n in late else 0.0 for n in range(count)]

    def begin(place: int) -> None:
        address = addresses[place]
        host = Host(
            world, address, filling, locations,
            uplink(rates[place]), Downlink(rates[place] / 8 / HEADERS),
        )  # fmt: skip
        world.hosts[address.node_id] = host
        host.start(addresses)
        if place in failing:
            clock.after(float(rng.uniform(0, scenario.failing[1])), host.die)

    for place in range(count):
        clock.at(began_s[place], partial(begin, place))
    bound_s = lower_bound_s(scenario, rates)

    def tell() -> None:
        on_progress(clock.now_s, bound_s)
        clock.after(bound_s / _TOLD, tell)

    clock.after(bound_s / _TOLD, tell)
    clock.run(lambda: not world.running, limit_s=100 * bound_s)
    alive = [host for host in world.hosts.values() if not host.dead]
    seconds = [host.done_s - host.began_s for host in alive if host.done_s is not None]
    return Outcome(
        seconds,
        bound_s,
        world.origin_bytes / scenario.size,
        len(alive) - len(seconds),
        clock.events,
    )
