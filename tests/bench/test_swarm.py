"""When the hosts of a distribution begin."""

from __future__ import annotations

from bench.swarm.systems import Trouble


def test_one_host_begins_sooner_or_later_than_the_others() -> None:
    assert Trouble().delays_s([0, 1, 2, 3], 3) == {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}
    assert Trouble(early_s=0.7).delays_s([1, 2, 3], 3) == {1: 0.7, 2: 0.7, 3: 0.0}
    assert Trouble(late_s=3.0).delays_s([1, 2, 3], 3) == {1: 0.0, 2: 0.0, 3: 3.0}


def test_all_begin_at_some_moment_and_a_seed_of_the_origin_at_once() -> None:
    hosts = list(range(9))
    delays_s = Trouble(spread_s=2.0, seed=7).delays_s(hosts, 8)
    assert delays_s == Trouble(spread_s=2.0, seed=7).delays_s(hosts, 8)
    assert delays_s != Trouble(spread_s=2.0, seed=8).delays_s(hosts, 8)
    assert delays_s.pop(0) == 0.0
    assert all(0.0 <= one < 2.0 for one in delays_s.values())
    assert len(set(delays_s.values())) == 8
