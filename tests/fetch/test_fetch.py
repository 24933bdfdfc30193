"""Whole fetches: real caches, peer servers, a file origin, and sources that are damaged or lie."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cachd.cache import storing
from cachd.cache.cache import Cache
from cachd.cache.index import Place
from cachd.cache.layout import Layout
from cachd.cache.partial import write_chunk
from cachd.cache.verifier import VerifiedChunk, verify
from cachd.fetch.errors import FetchCancelled, FetchFailed
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.report import FetchReport, Progress
from cachd.peer import protocol
from cachd.peer.protocol import Follow, GetChunk, Status
from registry_core.domain.identifiers import NodeId
from registry_core.origin.store import Origin
from tests.cache.test_cache import FILES, content
from tests.cache.versions import CHUNK, chunk_of, fill, make_version, random_bytes
from tests.fetch.rig import SETTINGS, Node, node, nodes, pack_file, put_packs
from tests.peer.rig import (
    Script,
    greet,
    maps_message,
    read_request,
    scripted_peer,
    unit_message,
    wait_until,
)

ONE = {"weights.bin": random_bytes(40 * CHUNK + 100, 5), "config.json": b"{}"}
ONE_BYTES = sum(map(len, ONE.values()))


@pytest.fixture
def origin_root(tmp_path: Path) -> Path:
    return tmp_path / "origin"


@pytest.fixture
def origin(origin_root: Path) -> Origin:
    return Origin.open(f"file://{origin_root}")


def in_threads(works: list[Callable[[], FetchReport]]) -> list[FetchReport]:
    results: list[FetchReport | BaseException] = []

    def run(work: Callable[[], FetchReport]) -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again below
            results.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, FetchReport)]


def test_a_node_alone_takes_all_from_the_origin(tmp_path: Path, origin: Origin) -> None:
    manifest, chunks = make_version(FILES)
    places = put_packs(origin, manifest, chunks)
    told: list[Progress] = []
    with node(tmp_path / "a", origin) as alone:
        report = alone.fetcher.fetch(manifest, places, list, on_progress=told.append)
        assert content(alone.cache.publish(manifest)) == FILES
        assert report.bytes_from_origin == sum(map(len, chunks.values()))
        assert (report.bytes_from_peers, report.bytes_local, report.complaints) == (0, 0, ())
        again = alone.fetch(manifest, places)
        assert again.bytes_from_origin == 0
    assert told[-1].bytes_done == told[-1].bytes_total == report.bytes_from_origin
    assert [p.bytes_done for p in told] == sorted(p.bytes_done for p in told)


def test_three_nodes_together_take_about_one_copy(tmp_path: Path, origin: Origin) -> None:
    manifest, chunks = make_version({"weights.bin": random_bytes(24 << 20, 6)}, 256 * 1024)
    places = put_packs(origin, manifest, chunks)
    with nodes(tmp_path, origin, ["a", "b", "c"]) as three:
        addresses = [one.address for one in three]
        reports = in_threads([partial(one.fetch, manifest, places, addresses) for one in three])
        for one in three:
            one.cache.publish(manifest)
            assert one.cache.verify(manifest) == []
    copies = sum(report.bytes_from_origin for report in reports) / (24 << 20)
    print(f"{copies:.2f} copies left the origin")
    assert 1.0 <= copies <= 1.5
    assert all(not report.complaints for report in reports)
    assert all(report.bytes_from_origin + report.bytes_from_peers == 24 << 20 for report in reports)


def test_a_peer_that_has_it_all_spares_the_origin(tmp_path: Path, origin: Origin) -> None:
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    with nodes(tmp_path, origin, ["seed", "b"]) as (seed, other):
        fill(seed.cache, manifest, chunks)
        report = other.fetch(manifest, places, [seed.address, other.address])
        assert (report.bytes_from_origin, report.bytes_from_peers) == (0, ONE_BYTES)
        assert content(other.cache.publish(manifest)) == ONE


def test_a_sibling_version_moves_only_what_changed(tmp_path: Path, origin: Origin) -> None:
    first, chunks = make_version(ONE)
    weights = bytearray(ONE["weights.bin"])
    weights[7 * CHUNK] ^= 1
    second, more = make_version({**ONE, "weights.bin": bytes(weights)})
    places = put_packs(origin, second, more)
    with node(tmp_path / "a", origin) as alone:
        fill(alone.cache, first, chunks)
        report = alone.fetch(second, places)
        assert report.bytes_from_origin == CHUNK
        assert report.bytes_local == 39 * CHUNK + 100
        assert content(alone.cache.publish(second))["weights.bin"] == bytes(weights)


@pytest.mark.parametrize("at_once", [1, 2])
def test_few_threads_copy_and_write_at_once(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of four, whether what they bring comes from here or from elsewhere: the first writes wait for
    one more than may come."""
    first, chunks = make_version(ONE)
    second, more = make_version({"more.bin": ONE["weights.bin"] + random_bytes(20 * CHUNK, 3)})
    places = put_packs(origin, second, more)
    meeting = threading.Barrier(at_once + 1)
    writing, most = [0], [0]
    lock = threading.Lock()

    def noted(layout: Layout, verified: VerifiedChunk, wanting: Sequence[Place]) -> None:
        with lock:
            writing[0] += 1
            most[0] = max(most[0], writing[0])
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(1)
        write_chunk(layout, verified, wanting)
        with lock:
            writing[0] -= 1

    with node(tmp_path / "a", origin, replace(SETTINGS, store_threads=at_once)) as alone:
        fill(alone.cache, first, chunks)
        monkeypatch.setattr(storing, "write_chunk", noted)
        report = alone.fetch(second, places)
        assert report.bytes_local
        assert report.bytes_from_origin
        assert most[0] == at_once


def test_a_damaged_local_copy_is_fetched_instead(tmp_path: Path, origin: Origin) -> None:
    first, chunks = make_version(ONE)
    second, more = make_version({"renamed.bin": ONE["weights.bin"] + b"longer"})
    places = put_packs(origin, second, more)
    with node(tmp_path / "a", origin) as alone:
        fill(alone.cache, first, chunks)
        blob = tmp_path / "a" / "blobs" / first.files[1].chunk_root.hex()
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.seek(3 * CHUNK)
            file.write(b"damage")
        report = alone.fetch(second, places)
        assert any(c.source == "local cache" for c in report.complaints)
        assert content(alone.cache.publish(second))["renamed.bin"].startswith(ONE["weights.bin"])


def test_a_flipped_bit_in_a_pack_is_refused(
    tmp_path: Path, origin: Origin, origin_root: Path
) -> None:
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    bad = manifest.files[1].chunks[3]
    _flip(pack_file(origin_root, places[bad.id]), places[bad.id].offset + 9)
    with nodes(tmp_path, origin, ["a", "b"]) as (alone, other):
        told: list[Progress] = []
        silent = replace(SETTINGS, progress_s=60)
        fetcher = Fetcher(alone.cache, origin, NodeId("a"), 1, silent)
        with pytest.raises(FetchFailed) as caught:
            fetcher.fetch(manifest, places, list, on_progress=told.append)
        there = sum(chunk.length for chunk in manifest.unique_chunks.values()) - bad.length
        assert told[-1].bytes_from_origin == there, "what it brought before it failed counts"
        assert [missing.chunk_id for missing in caught.value.missing] == [bad.id]
        assert "not what its id says" in caught.value.missing[0].reasons["origin"]
        assert bad.id.hex[:16] in str(caught.value)
        assert alone.cache.published(manifest.digest) is None
        assert alone.cache.open_chunk(bad.id) is None
        fill(other.cache, manifest, chunks)
        report = alone.fetch(manifest, places, [other.address])
        assert report.bytes_from_peers == bad.length
        assert content(alone.cache.publish(manifest)) == ONE


def test_missing_packs_and_unknown_places_are_told(
    tmp_path: Path, origin: Origin, origin_root: Path
) -> None:
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    lost = places.pop(manifest.files[1].chunks[0].id)
    with node(tmp_path / "a", origin) as alone:
        with pytest.raises(FetchFailed, match="no location known"):
            alone.fetch(manifest, places)
        pack_file(origin_root, lost).unlink()
        other, more = make_version({"other.bin": random_bytes(CHUNK, 77)})
        unmade = {other.files[0].chunks[0].id: lost}
        with pytest.raises(FetchFailed, match="nothing to read"):
            alone.fetch(other, unmade)
    assert more


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


# Peers that lie: each claims to have the whole version


def lying(answer: Callable[[socket.socket, GetChunk], None], count: int) -> Script:
    held = (1 << count) - 1

    def script(connection: socket.socket) -> None:
        greet(connection)
        while True:
            request = read_request(connection)
            if isinstance(request, Follow):
                size = (count + 7) // 8
                connection.sendall(maps_message(held.to_bytes(size, "little"), bytes(size)))
            elif isinstance(request, GetChunk):
                answer(connection, request)

    return script


def wrong_bytes(connection: socket.socket, request: GetChunk) -> None:
    header = protocol.encode_response_header(Status.OK, request.length)
    connection.sendall(header + bytes(request.length))


def garbage(connection: socket.socket, _: GetChunk) -> None:
    connection.sendall(b"\xff" * 1000)


def too_much(connection: socket.socket, request: GetChunk) -> None:
    header = protocol.encode_response_header(Status.OK, request.length + 5)
    connection.sendall(header + bytes(request.length + 5))


def cut_in_the_middle(connection: socket.socket, request: GetChunk) -> None:
    header = protocol.encode_response_header(Status.OK, request.length)
    connection.sendall(header + bytes(request.length // 2))
    connection.shutdown(socket.SHUT_RDWR)


def has_nothing(connection: socket.socket, _: GetChunk) -> None:
    connection.sendall(protocol.encode_response_header(Status.NOT_FOUND, 0))


def always_busy(connection: socket.socket, _: GetChunk) -> None:
    connection.sendall(protocol.encode_response_header(Status.BUSY, 0))


@pytest.mark.parametrize(
    ("answer", "complains"),
    [
        (wrong_bytes, True),
        (garbage, True),
        (too_much, True),
        (cut_in_the_middle, False),
        (has_nothing, False),
        (always_busy, False),
    ],
)
def test_a_peer_that_lies_costs_no_more_than_time(
    tmp_path: Path,
    origin: Origin,
    answer: Callable[[socket.socket, GetChunk], None],
    complains: bool,
) -> None:
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    with (
        scripted_peer(lying(answer, len(manifest.unique_chunks))) as liar,
        node(tmp_path / "a", origin) as alone,
    ):
        report = alone.fetch(manifest, places, [liar])
        assert report.bytes_from_origin == ONE_BYTES
        assert any(c.source == "peer" for c in report.complaints) == complains
        assert content(alone.cache.publish(manifest)) == ONE


def pushing(*messages: bytes) -> Script:
    """Claims all of the version, sends these to who follows it, and then nothing more."""

    def script(connection: socket.socket) -> None:
        greet(connection)
        while True:
            if isinstance(read_request(connection), Follow):
                connection.sendall(b"".join(messages))

    return script


@pytest.mark.parametrize(
    "pushed",
    [
        pytest.param(unit_message(3, bytes(CHUNK)), id="wrong bytes"),
        pytest.param(unit_message(3, bytes(CHUNK - 1)), id="too little"),
        pytest.param(unit_message(3, bytes(CHUNK + 1)), id="too much"),
        pytest.param(unit_message(10_000, bytes(CHUNK)), id="a chunk that the version lacks"),
        pytest.param(b"\xff" * 1000, id="garbage"),
    ],
)
def test_a_peer_that_pushes_what_is_wrong_is_found_out(
    tmp_path: Path, origin: Origin, pushed: bytes
) -> None:
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    size = (len(manifest.unique_chunks) + 7) // 8
    liar = pushing(maps_message(bytes(size), b"\xff" * size), pushed)
    with scripted_peer(liar) as address, node(tmp_path / "a", origin) as alone:
        report = alone.fetch(manifest, places, [address])
        assert report.bytes_from_origin == ONE_BYTES
        assert [c.source for c in report.complaints] == ["peer"]
        assert content(alone.cache.publish(manifest)) == ONE


def test_pushed_chunks_are_taken_and_counted(tmp_path: Path, origin: Origin) -> None:
    """One of them twice, and one that this node has already."""
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    size = (len(manifest.unique_chunks) + 7) // 8
    numbered = list(manifest.unique_chunks.values())
    pushed = [unit_message(n, chunks[numbered[n].id]) for n in (5, 6, 6)]
    peer = pushing(maps_message(bytes(size), b"\xe0" + bytes(size - 1)), *pushed)
    with scripted_peer(peer) as address, node(tmp_path / "a", origin) as alone:
        alone.cache.begin(manifest)
        alone.cache.store(verify(numbered[5], chunks[numbered[5].id]))
        report = alone.fetch(manifest, places, [address])
        assert report.bytes_from_peers == numbered[6].length
        assert report.bytes_from_origin == ONE_BYTES - numbered[5].length - numbered[6].length
        assert report.complaints == ()
        assert content(alone.cache.publish(manifest)) == ONE


def test_without_an_origin_the_failure_names_the_liar(tmp_path: Path) -> None:
    manifest, _ = make_version(ONE)
    with (
        scripted_peer(lying(wrong_bytes, len(manifest.unique_chunks))) as liar,
        node(tmp_path / "a", None) as alone,
    ):
        with pytest.raises(FetchFailed) as caught:
            alone.fetch(manifest, {}, [liar])
        assert len(caught.value.missing) == len(manifest.unique_chunks)
        assert "banned" in caught.value.missing[0].reasons["peer"]
        assert not any(alone.cache.have(manifest.digest) or b"")


def test_a_peer_that_dies_is_replaced_by_the_origin(tmp_path: Path, origin: Origin) -> None:
    manifest, chunks = make_version({"weights.bin": random_bytes(32 << 20, 9)}, 1 << 20)
    places = put_packs(origin, manifest, chunks)
    with nodes(tmp_path, origin, ["seed", "b"]) as (seed, other):
        fill(seed.cache, manifest, chunks)

        def stop_after_some(progress: Progress) -> None:
            if progress.bytes_done:
                seed.server.stop()

        report = other.fetcher.fetch(
            manifest, places, lambda: [seed.address], on_progress=stop_after_some
        )
        assert report.bytes_from_peers > 0
        assert report.bytes_from_origin + report.bytes_from_peers == 32 << 20
        other.cache.publish(manifest)
        assert other.cache.verify(manifest) == []


def test_nobody_to_ask_fails_soon(tmp_path: Path) -> None:
    manifest, _ = make_version(ONE)
    with node(tmp_path / "a", None) as alone:
        began_s = time.monotonic()
        with pytest.raises(FetchFailed, match="no location"):
            alone.fetch(manifest, {})
        assert time.monotonic() - began_s < SETTINGS.stall_timeout_s


def test_nodes_waiting_for_each_other_fail_in_bounded_time(tmp_path: Path) -> None:
    manifest, _ = make_version(ONE)
    with nodes(tmp_path, None, ["a", "b"]) as (one, two):
        addresses = [one.address, two.address]
        with pytest.raises(FetchFailed):
            in_threads([partial(n.fetch, manifest, {}, addresses) for n in (one, two)])


def test_a_node_that_got_stuck_with_its_claims_is_not_waited_for(
    tmp_path: Path, origin: Origin
) -> None:
    """A peer that says it is fetching the version, and claims all of it, but never gets on."""
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    count = len(manifest.unique_chunks)

    def script(connection: socket.socket) -> None:
        greet(connection)
        size = (count + 7) // 8
        while True:
            if isinstance(read_request(connection), Follow):
                connection.sendall(maps_message(bytes(size), b"\xff" * size))

    with scripted_peer(script) as stuck, node(tmp_path / "a", origin) as alone:
        began_s = time.monotonic()
        report = alone.fetch(manifest, places, [stuck])
        waited_s = time.monotonic() - began_s
    assert report.bytes_from_origin == ONE_BYTES
    assert waited_s >= SETTINGS.claim_timeout_s


def test_a_node_that_only_seems_to_get_on_is_not_waited_for_either(
    tmp_path: Path, origin: Origin
) -> None:
    """A peer whose maps change all the time, and that neither claims nor gives anything."""
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    size = (len(manifest.unique_chunks) + 7) // 8

    def script(connection: socket.socket) -> None:
        greet(connection)
        if not isinstance(read_request(connection), Follow):
            return
        for change in itertools.cycle((b"\x00", b"\x01")):
            connection.sendall(maps_message(bytes(size), bytes(size - 1) + change))
            time.sleep(0.05)  # it is this going on that is tested

    with scripted_peer(script) as liar, node(tmp_path / "a", origin) as alone:
        report = alone.fetch(manifest, places, [liar])
        assert report.bytes_from_origin == ONE_BYTES
        assert content(alone.cache.publish(manifest)) == ONE


def test_cancelling_keeps_what_is_verified(tmp_path: Path, origin: Origin) -> None:
    manifest, chunks = make_version({"weights.bin": random_bytes(32 << 20, 9)}, 1 << 20)
    places = put_packs(origin, manifest, chunks)
    cancel = threading.Event()
    before = threading.active_count()
    with node(tmp_path / "a", origin) as alone:

        def stop(progress: Progress) -> None:
            if progress.bytes_done:
                cancel.set()

        with pytest.raises(FetchCancelled, match="again"):
            alone.fetcher.fetch(manifest, places, list, cancel, stop)
        assert alone.server.offers.claims(manifest.digest) == b""
        report = alone.fetch(manifest, places)
        assert report.bytes_from_origin < 32 << 20
        alone.cache.publish(manifest)
        assert alone.cache.verify(manifest) == []
    wait_until(lambda: threading.active_count() <= before, "ending the threads")


def test_a_version_is_offered_while_it_is_fetched(tmp_path: Path, origin: Origin) -> None:
    """A node passes on chunks that it got a moment ago, before it has the version."""
    manifest, chunks = make_version(ONE)
    half = dict(list(put_packs(origin, manifest, chunks).items())[:20])
    with nodes(tmp_path, origin, ["a", "b"]) as (one, two):
        with pytest.raises(FetchFailed):
            one.fetch(manifest, half)
        with pytest.raises(FetchFailed):
            two.fetch(manifest, {}, [one.address])
        held = two.cache.have(manifest.digest)
        assert held is not None
        assert sum(byte.bit_count() for byte in held) == 20


def test_damage_is_never_passed_on(tmp_path: Path, origin: Origin) -> None:
    """A peer whose disk changed a byte is found out by the one that asks it."""
    manifest, chunks = make_version(ONE)
    places = put_packs(origin, manifest, chunks)
    with nodes(tmp_path, origin, ["seed", "b"]) as (seed, other):
        fill(seed.cache, manifest, chunks)
        _damage_blobs(seed)
        report = other.fetch(manifest, places, [seed.address])
        assert [c.source for c in report.complaints if c.source == "seed"]
        assert content(other.cache.publish(manifest)) == ONE


def _damage_blobs(seed: Node) -> None:
    found = seed.cache.locate(chunk_of(ONE["weights.bin"][:CHUNK]).id)
    assert found is not None
    path = found[0]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    for offset in range(0, len(data), CHUNK):
        data[offset] ^= 1
    with path.open("r+b") as file:
        file.write(data)
    assert isinstance(seed.cache, Cache)
