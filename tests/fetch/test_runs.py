"""Neighbours in a pack come in one request where a node fetches alone, each judged by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cachd import limits
from cachd.fetch.attempts import Attempt
from cachd.fetch.errors import FetchFailed
from cachd.fetch.runs import runs, whole_of
from cachd.fetch.view import Fixed
from cachd.peer.bulk_path import BulkPath
from cachd.peer.throttle import Throttle
from registry_core.domain.packs import Location, PackName
from registry_core.origin.store import Origin
from tests.cache.versions import make_version, random_bytes
from tests.fetch.rig import Node, node, nodes, pack_file, put_packs
from tests.fetch.test_fetch import in_threads
from tests.fetch.test_origin_pace import Capacity, serving
from tests.fetch.test_plan import wanted
from tests.peer.rig import wait_until

CHUNK = 64 * 1024
RUN = limits.ORIGIN_RUN_BYTES // CHUNK
COUNT = 5 * RUN
MANIFEST, CHUNKS = make_version({"weights.bin": random_bytes(COUNT * CHUNK, 41)}, CHUNK)
ONE, OTHER = PackName(bytes(32)), PackName(b"\x01" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "origin"


def at(pack: PackName, offset: int) -> Attempt:
    return Attempt(wanted(0, 10), Fixed.ORIGIN, None, Location(pack, offset, 10), 0.0)


def test_what_lies_side_by_side_goes_together() -> None:
    attempts = [at(ONE, 0), at(ONE, 10), at(ONE, 30), at(OTHER, 40), at(OTHER, 50), at(OTHER, 60)]
    found = runs(attempts, 2)
    assert [len(run) for run in found] == [2, 1, 2, 1]
    assert whole_of(found[0]) == Location(ONE, 0, 20)
    assert [len(run) for run in runs(attempts, 1)] == [1] * 6


def test_a_node_alone_asks_for_runs(tmp_path: Path, root: Path) -> None:
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    capacity = Capacity(at_once=limits.FETCH_THREADS)
    with serving(root, capacity) as origin, node(tmp_path / "a", origin) as one:
        report = one.fetch(MANIFEST, places)
        one.cache.publish(MANIFEST)
        assert one.cache.verify(MANIFEST) == []
    print(f"{capacity.served} requests for {COUNT} chunks; {report.seconds:.2f} s")
    assert report.bytes_from_origin == COUNT * CHUNK
    assert capacity.served <= COUNT // RUN + 3, "packs end, and so do runs"
    assert capacity.refused == 0, "no more at once than before"


def test_in_a_region_chunks_are_asked_for_one_by_one(tmp_path: Path, root: Path) -> None:
    """Each is passed on as soon as it is there, and neighbours have different owners."""
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    capacity = Capacity(at_once=99)
    with serving(root, capacity) as origin, nodes(tmp_path, origin, ["a", "b"]) as both:
        addresses = [one.address for one in both]
        reports = in_threads([partial(one.fetch, MANIFEST, places, addresses) for one in both])
    copies = sum(report.bytes_from_origin for report in reports) / (COUNT * CHUNK)
    print(f"{copies:.2f} copies, {capacity.served} requests")
    assert capacity.served >= COUNT
    assert copies < 1.3


def test_who_began_alone_shares_with_who_joins(tmp_path: Path, root: Path) -> None:
    """Hosts are told of a version one after the other. Over its own link alone a node needs four
    seconds; the other begins when it has a quarter, long after all were taken to begin."""
    origin = Origin.open(root.as_uri())
    places = put_packs(origin, MANIFEST, CHUNKS)
    with (
        node(tmp_path / "a", origin, bulk=BulkPath(download=Throttle.parse("40mbit"))) as first,
        node(tmp_path / "b", origin, bulk=BulkPath(download=Throttle.parse("40mbit"))) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        both = [first.address, second.address]
        alone = pool.submit(first.fetch, MANIFEST, places, both)
        wait_until(lambda: held(first) >= COUNT // 4, "a quarter")
        joined = second.fetch(MANIFEST, places, both)
        reports = [alone.result(), joined]
    brought = [report.bytes_from_origin / (COUNT * CHUNK) for report in reports]
    print(f"of the origin's bytes: {brought[0]:.2f} and {brought[1]:.2f}")
    assert min(brought) > 0.25
    assert sum(brought) < 1.2


def held(one: Node) -> int:
    return int.from_bytes(one.cache.have(MANIFEST.digest) or b"").bit_count()


def test_one_bad_chunk_of_a_run_is_the_only_one_refused(tmp_path: Path, root: Path) -> None:
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    bad = list(MANIFEST.unique_chunks)[RUN + 3]
    with pack_file(root, places[bad]).open("r+b") as file:
        file.seek(places[bad].offset + 5)
        file.write(b"damage")
    with (
        serving(root, Capacity(at_once=99)) as origin,
        node(tmp_path / "a", origin) as one,
        pytest.raises(FetchFailed) as caught,
    ):
        one.fetch(MANIFEST, places)
    assert [missing.chunk_id for missing in caught.value.missing] == [bad]


def test_of_a_pack_that_ends_early_what_is_there_is_taken(tmp_path: Path, root: Path) -> None:
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    last = list(MANIFEST.unique_chunks)[-3]
    path = pack_file(root, places[last])
    path.write_bytes(path.read_bytes()[: places[last].offset])
    with (
        node(tmp_path / "a", Origin.open(root.as_uri())) as one,
        pytest.raises(FetchFailed) as caught,
    ):
        one.fetch(MANIFEST, places)
    assert len(caught.value.missing) == 3


def test_an_origin_that_is_busy_is_asked_for_less_than_runs(tmp_path: Path, root: Path) -> None:
    places = put_packs(Origin.open(root.as_uri()), MANIFEST, CHUNKS)
    capacity = Capacity(at_once=99, refuse_first=2 * limits.FETCH_THREADS)
    with serving(root, capacity) as origin, node(tmp_path / "a", origin) as one:
        report = one.fetch(MANIFEST, places)
    assert report.bytes_from_origin == COUNT * CHUNK
    assert report.complaints == ()
    assert capacity.served > COUNT // RUN + 3
