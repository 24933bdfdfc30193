"""Whole fetches under a node's limits: from an origin, from a peer, and pushed."""

from __future__ import annotations

import dataclasses
import threading
from functools import partial
from pathlib import Path

import pytest

from cachd import limits
from cachd.fetch.errors import FetchCancelled
from cachd.peer.bulk_path import BulkPath
from cachd.peer.rate import Rate
from cachd.peer.throttle import Throttle
from registry_core.origin.store import Origin
from tests.cache.versions import fill, make_version, random_bytes
from tests.fetch.rig import SETTINGS, node, put_packs
from tests.fetch.test_fetch import in_threads

MIB = 1 << 20
MANIFEST, CHUNKS = make_version({"weights.bin": random_bytes(8 * MIB, 21)}, chunk_bytes=MIB)


def limit(text: str) -> Throttle:
    return Throttle(Rate.parse(text))


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin.open(f"file://{tmp_path / 'origin'}")


def keeps(seconds: float, rate: str, count: int = 8 * MIB) -> bool:
    exact_s = count / Rate.parse(rate).bytes_per_s
    print(f"{seconds:.2f} s where {rate} takes {exact_s:.2f} s")
    return exact_s - limits.RATE_BURST_S <= seconds <= 1.5 * exact_s


def test_from_the_origin(tmp_path: Path, origin: Origin) -> None:
    places = put_packs(origin, MANIFEST, CHUNKS)
    with node(tmp_path / "a", origin, bulk=BulkPath(download=limit("64mbit"))) as one:
        report = one.fetch(MANIFEST, places)
    assert report.bytes_from_origin == 8 * MIB
    assert keeps(report.seconds, "64mbit")


@pytest.mark.parametrize("side", ["upload", "download"])
def test_from_a_peer(tmp_path: Path, side: str) -> None:
    bulk = BulkPath(**{side: limit("64mbit")})
    giver, taker = (bulk, BulkPath()) if side == "upload" else (BulkPath(), bulk)
    with (
        node(tmp_path / "seed", None, bulk=giver) as seed,
        node(tmp_path / "b", None, bulk=taker) as other,
    ):
        fill(seed.cache, MANIFEST, CHUNKS)
        report = other.fetch(MANIFEST, {}, [seed.address])
    assert report.bytes_from_peers == 8 * MIB
    assert not report.complaints
    assert keeps(report.seconds, "64mbit")


def test_pushes_and_the_origin_share_the_download_limit(tmp_path: Path, origin: Origin) -> None:
    """At a rate below what a push takes over loopback anyway."""
    manifest, chunks = make_version({"weights.bin": random_bytes(2 * MIB, 22)}, MIB // 8)
    places = put_packs(origin, manifest, chunks)
    limited = BulkPath(download=limit("8mbit"))
    with (
        node(tmp_path / "a", origin) as quick,
        node(tmp_path / "b", origin, bulk=limited) as slow,
    ):
        both = [quick.address, slow.address]
        reports = in_threads([partial(one.fetch, manifest, places, both) for one in (quick, slow)])
    for report in reports:
        assert report.bytes_from_peers > 0
    assert keeps(max(report.seconds for report in reports), "8mbit", 2 * MIB)


def test_what_its_own_limit_holds_up_is_no_standstill(tmp_path: Path, origin: Origin) -> None:
    """Four chunks at a time share the limit, so that the first is there after four seconds."""
    places = put_packs(origin, MANIFEST, CHUNKS)
    patience = dataclasses.replace(SETTINGS, claim_timeout_s=1.0, stall_timeout_s=1.5)
    with node(tmp_path / "a", origin, patience, bulk=BulkPath(download=limit("8mbit"))) as one:
        assert one.fetch(MANIFEST, places).bytes_from_origin == 8 * MIB


def test_cancelling_does_not_wait_for_the_limit(tmp_path: Path, origin: Origin) -> None:
    places = put_packs(origin, MANIFEST, CHUNKS)
    cancel = threading.Event()
    with node(tmp_path / "a", origin, bulk=BulkPath(download=limit("1mbit"))) as one:
        timer = threading.Timer(0.3, cancel.set)
        timer.start()
        with pytest.raises(FetchCancelled):
            one.fetcher.fetch(MANIFEST, places, list, cancel)
        timer.join()
