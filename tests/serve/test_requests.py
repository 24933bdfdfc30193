"""What workers observe of their requests: counted exactly, told in bounds, by version."""

from __future__ import annotations

import math
import random
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.from_worker import Requests, parse
from cachd.serve.latency import BOUNDS_US, BUCKETS, quantile_s
from cachd.serve.limits import (
    FOLD_AT,
    FRAME_BYTES_MAX,
    OBSERVED_S_MAX,
    REQUESTS_TOLD_MAX,
    VERSIONS_COUNTED_MAX,
    VERSIONS_TOLD_MAX,
)
from cachd.serve.request_counts import RequestCounts, VersionCounts
from cachd.serve.resident import ResidentVersion
from cachd.serve.tally import Tally
from cachd.serve.wire import WireError, encode_frame
from tests.serve.rig import MODEL, STAGE, HostThread, target, until
from tests.serve.test_hostile import ATTACH, RawWorker

Attach = Callable[..., Any]
Versions = list[ResidentVersion]


def counts_of(host: HostThread) -> dict[int, VersionCounts]:
    found = host.call(lambda one: one.requests(MODEL, STAGE))
    return {counts.number: counts for counts in found}


def await_counts(host: HostThread, expected: dict[int, tuple[int, int]]) -> None:
    """Until the host knows of so many requests and failures of each version."""
    until(
        lambda: {n: (c.requests, c.failed) for n, c in counts_of(host).items()} == expected,
        f"requests {expected}",
    )


def test_by_version_across_a_flip(host: HostThread, versions: Versions, attached: Attach) -> None:
    host.set_target(target(1, 0, versions[1]))
    model, other = attached(), attached()
    for ok in (True, True, False):
        model.acquire().observe(ok=ok, seconds=0.012)
    other.acquire().observe(seconds=3)
    await_counts(host, {1: (4, 1)})
    counts = counts_of(host)[1]
    assert (counts.digest, counts.us) == (versions[1].digest, 3_036_000)
    assert counts.buckets[bisect_left(BOUNDS_US, 12_000)] == 3
    old = model.acquire()
    host.set_target(target(2, 0, versions[2], versions[1]))
    until(lambda: model.acquire().number == other.acquire().number == 2, "the flip")
    old.observe(seconds=0.001)  # a request that began before
    model.acquire().observe(seconds=0.001)
    await_counts(host, {1: (5, 1), 2: (1, 0)})


def test_the_last_ones_of_a_version_that_goes_are_counted(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    old = model.acquire()
    host.set_target(target(2, 0, versions[2], versions[1]))
    host.set_target(target(3, 0, versions[3], versions[2]))
    until(lambda: model.acquire().number == 3, "the flip")
    old.observe(seconds=0.001)
    await_counts(host, {1: (1, 0)})
    old.observe(ok=False, seconds=0.001)
    del old  # ends the lease at once, long before the second is over
    until(lambda: versions[1].digest not in host.leased(), "1 is free")
    await_counts(host, {1: (2, 1)})
    model.acquire().observe(seconds=0.001)
    model.close()  # at once
    await_counts(host, {1: (2, 1), 3: (1, 0)})


def test_a_restart_of_the_host_begins_anew_and_loses_none_meanwhile(
    start_host: Callable[..., HostThread], versions: Versions, attached: Attach
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    model.acquire().observe(seconds=0.001)
    await_counts(host, {1: (1, 0)})
    host.stop()
    for _ in range(5):
        model.acquire().observe(seconds=0.001)
    host = start_host()
    await_counts(host, {1: (5, 0)})


def test_no_request_is_lost_or_counted_twice_by_racing_threads(
    host: HostThread, versions: Versions, attached: Attach
) -> None:
    host.set_target(target(1, 0, versions[1]))
    model = attached()
    view = model.acquire()
    each, threads_count = 20 * FOLD_AT + 17, 4

    def hammer() -> None:
        for number in range(each):
            view.observe(ok=number % 4 != 0, seconds=0.0001)

    threads = [threading.Thread(target=hammer) for _ in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total, failed = each * threads_count, len(range(0, each, 4)) * threads_count
    await_counts(host, {1: (total, failed)})
    assert counts_of(host)[1].us == total * 100


def test_times_that_are_none() -> None:
    tally = Tally(1)
    for odd in (-1.0, math.nan, 0, math.inf):
        tally.observe(True, odd)
    taken = tally.take()
    assert taken is not None
    assert taken.buckets == {0: 3, BUCKETS - 1: 1}
    assert taken.us == OBSERVED_S_MAX * 1e6
    assert tally.take() is None
    for wrong in (None, "1", [1]):
        with pytest.raises(TypeError):
            tally.observe(True, wrong)  # type: ignore[arg-type]
    assert tally.take() is None


def test_bounds_are_log_spaced_and_quantiles_lie_in_their_bucket() -> None:
    assert (BOUNDS_US[0], BOUNDS_US[-1], len(BOUNDS_US)) == (100, 63_000_000, 30)
    ratios = [high / low for low, high in pairwise(BOUNDS_US)]
    assert 1.5 < min(ratios) < max(ratios) < 1.65
    assert quantile_s([0] * BUCKETS, 0.5) is None
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    times = sorted(rng.lognormvariate(-5, 1) for _ in range(2_000))
    buckets = [0] * BUCKETS
    for seconds in times:
        buckets[bisect_left(BOUNDS_US, seconds * 1e6)] += 1
    for share in (0.5, 0.95, 0.99):
        told, exact = quantile_s(buckets, share), times[int(share * len(times))]
        assert told is not None
        assert exact / 1.7 < told < exact * 1.7


def test_golden_message() -> None:
    message = {"op": "requests", "versions": [
        {"handle": 4, "failed": 3, "us": 123456, "buckets": [[5, 10], [6, 2]]},
    ]}  # fmt: skip
    parsed = parse(message)
    assert isinstance(parsed, Requests)
    assert parsed.message() == message
    answered = parsed.versions[0]
    assert (answered.handle, answered.failed, answered.us) == (4, 3, 123456)
    assert answered.buckets == {5: 10, 6: 2}


def test_the_longest_message_fits_a_frame() -> None:
    worst = {"handle": 2**24 - 1, "failed": REQUESTS_TOLD_MAX, "us": 2**63,
             "buckets": [[index, REQUESTS_TOLD_MAX] for index in range(BUCKETS)]}  # fmt: skip
    frame = encode_frame({"op": "requests", "versions": [worst] * VERSIONS_TOLD_MAX})
    assert len(frame) < FRAME_BYTES_MAX


GOOD = {"handle": 1, "failed": 0, "us": 10, "buckets": [[0, 1]]}
WRONG: list[Any] = [
    {"versions": "all"},
    {"versions": [GOOD] * (VERSIONS_TOLD_MAX + 1)},
    {"versions": [7]},
    *(
        {"versions": [GOOD | wrong]}
        for wrong in (
            {"handle": 0}, {"handle": 2**24}, {"handle": "1"}, {"failed": 2}, {"failed": -1},
            {"failed": True}, {"us": -1}, {"us": 1.5}, {"us": 2**70}, {"us": 10**13},
            {"buckets": [[0, 0]]}, {"buckets": [[0, -1]]}, {"buckets": [[BUCKETS, 1]]},
            {"buckets": [[-1, 1]]}, {"buckets": [[0, REQUESTS_TOLD_MAX + 1]]},
            {"buckets": [[0, 1], [0, 1]]}, {"buckets": [[0]]}, {"buckets": [[0, 1, 2]]},
            {"buckets": {"0": 1}}, {"buckets": [[index, 1] for index in range(BUCKETS + 1)]},
            {"buckets": [[0, 1e300]]}, {"buckets": [0, 1]},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_malformed_ends_its_connection_and_counts_nothing(
    host: HostThread, versions: Versions, runtime_dir: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(WireError):
        parse({"op": "requests"} | wrong)
    host.set_target(target(1, 0, versions[1]))
    hostile = RawWorker(runtime_dir / "cachd.sock")
    hostile.send(ATTACH)
    hostile.send({"op": "requests"} | wrong)
    while hostile.next() is not None:
        pass
    hostile.close()
    assert counts_of(host) == {}


def test_a_worker_tells_of_what_it_leases_only(
    host: HostThread, versions: Versions, runtime_dir: Path
) -> None:
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(2, 0, versions[2], versions[1]))
    worker = RawWorker(runtime_dir / "cachd.sock")
    worker.send(ATTACH)
    until(lambda: host.observed().workers == 1, "attached")
    reports_before = host.changes
    for handle in (1, 2, 3, 999):
        worker.send({"op": "requests", "versions": [GOOD | {"handle": handle}]})
    worker.send({"op": "requests", "versions": [GOOD | {"handle": 2}] * VERSIONS_TOLD_MAX})
    await_counts(host, {1: (1, 0), 2: (1 + VERSIONS_TOLD_MAX, 0)})
    assert host.changes == reports_before, "a flood of these makes no reports"
    worker.close()


def test_of_a_stage_so_many_versions_are_counted() -> None:
    counts = RequestCounts()
    (answered,) = Requests.parse({"versions": [GOOD]}).versions
    for number in range(1, 100):
        counts.add(1, "sha256:1", answered)
        counts.add(number, f"sha256:{number}", answered)
    found = [one.number for one in counts.all()]
    assert len(found) == VERSIONS_COUNTED_MAX
    assert {1, 99} <= set(found), "those that were told of last"
    assert counts.all()[-2].requests == 100


def test_observing_is_cheap() -> None:
    tally = Tally(1)
    best_ns = math.inf
    for _ in range(20):
        began_ns = time.perf_counter_ns()
        for _ in range(1_000):
            tally.observe(True, 0.01)
        best_ns = min(best_ns, (time.perf_counter_ns() - began_ns) / 1_000)
    print(f"observe: {best_ns:.0f} ns")
    assert best_ns < 5_000, "counting included; a lock that is waited for would cost more"
