"""The simulator: deterministic, and the node's planner gets everybody through what can go wrong."""

from __future__ import annotations

import pytest

from bench.simulate.engine import Clock, Downlink, Flow, Uplink
from bench.simulate.scenario import (
    HEADERS,
    Outcome,
    Scenario,
    lower_bound_s,
    simulate,
    simulate_regions,
)

MIB = 1 << 20


def scenario(nodes: int, **changes: object) -> Scenario:
    given: dict[str, object] = {
        "nodes": nodes, "size": 16 * MIB, "chunk": MIB // 4, "rate": 100e6, "origin_rate": 100e6,
        "latency_s": 0.00025, "seed": 3,
    }  # fmt: skip
    return Scenario(**{**given, **changes})  # type: ignore[arg-type]


def over_bound(outcome: Outcome) -> float:
    assert not outcome.unfinished
    return max(outcome.seconds) / outcome.bound_s


def test_the_same_seed_gives_the_same_run() -> None:
    late = {"late": (0.5, 1.0)}
    assert simulate(scenario(8, **late)) == simulate(scenario(8, **late))
    assert simulate(scenario(8, **late)) != simulate(scenario(8, seed=4, **late))


def test_flows_share_an_uplink_and_wait_for_a_downlink() -> None:
    clock, ends = Clock(), []
    up = Uplink(clock, rate=100.0, quantum=10, latency_s=0.0)
    quick, slow = Downlink(100.0), Downlink(10.0)
    for down, name in ((quick, "a"), (quick, "b"), (slow, "c")):
        up.send(Flow(100, down, lambda name=name: ends.append((name, clock.now_s))))  # type: ignore[misc]
    clock.run(lambda: len(ends) == 3, 100.0)
    when = dict(ends)
    assert when["a"] == pytest.approx(2.0, abs=0.5), "two thirds of the link, then all of it"
    assert when["b"] == pytest.approx(2.2, abs=0.5)
    assert when["c"] == pytest.approx(10.0, abs=1.0), "what its receiver's link lets through"


def test_lower_bounds() -> None:
    alike = [100e6] * 4
    one = 8 * HEADERS * 16 * MIB / 100e6
    assert lower_bound_s(scenario(4), alike) == pytest.approx(one)
    assert lower_bound_s(scenario(4), [*alike[:3], 25e6]) == pytest.approx(4 * one)
    assert lower_bound_s(scenario(4, origin_rate=50e6), alike) == pytest.approx(2 * one)


@pytest.mark.parametrize(("nodes", "most"), [(1, 1.05), (2, 1.15), (4, 1.2), (8, 1.3), (16, 1.5)])
def test_small_regions(nodes: int, most: float) -> None:
    outcome = simulate(scenario(nodes))
    assert over_bound(outcome) < most, "64 chunks: a quarter of what the bench has"
    assert outcome.origin_copies < 1.2


def test_slow_links_do_as_well_as_fast_ones() -> None:
    """Each chunk takes a follower 5 s here, as long as a node that stands still is waited for."""
    fast, slow = (simulate(scenario(16, rate=rate, origin_rate=rate)) for rate in (100e6, 6e6))
    assert over_bound(slow) < 1.05 * over_bound(fast)
    assert slow.origin_copies == 1.0


@pytest.mark.slow
def test_a_crowd() -> None:
    """More nodes than follow each other; each brings about two chunks."""
    outcome = simulate(scenario(70, size=32 * MIB, zones=3))
    assert over_bound(outcome) < 1.6
    assert outcome.origin_copies < 1.1


@pytest.mark.parametrize("between", [200e6, 20e6])
def test_one_copy_crosses_the_link_to_each_other_region(between: float) -> None:
    first, *far = simulate_regions(scenario(8, between=between, origin_rate=400e6), 3)
    assert over_bound(first) < 1.5, "the others take little of its origin's link"
    for region in far:
        assert over_bound(region) < 1.5
        assert region.origin_copies < 1.2
        assert region.bound_s == pytest.approx(8 * HEADERS * 16 * MIB / min(between, 100e6))


def test_slow_late_and_dying_hosts() -> None:
    slow = simulate(scenario(12, slow=(0.25, 25e6)))
    assert over_bound(slow) < 1.6
    late = simulate(scenario(12, late=(0.5, 1.0)))
    assert over_bound(late) < 1.9, "a share waits for who begins with most of the time over"
    assert late.origin_copies < 1.05
    dying = simulate(scenario(12, failing=(0.25, 1.0)))
    assert len(dying.seconds) == 9
    assert not dying.unfinished


def test_a_third_with_slow_links_does_not_make_all_slow() -> None:
    outcome = simulate(scenario(12, size=64 * MIB, slow=(0.34, 25e6)))
    assert over_bound(outcome) < 1.1
    assert sorted(outcome.seconds)[7] < 0.9 * outcome.bound_s, (
        "the slowest of those with fast links"
    )


@pytest.mark.slow
def test_members_of_a_crowd_die() -> None:
    """Chunks that the dead were to bring are brought by few others."""
    outcome = simulate(scenario(70, failing=(0.1, 1.0)))
    assert len(outcome.seconds) == 63
    assert not outcome.unfinished
    assert outcome.origin_copies < 2
