"""What limited connections do to each other, and to those who wait for them: real sockets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.peer.bulk_path import BulkPath
from cachd.peer.client import PeerConnection
from cachd.peer.errors import PeerBusy, PeerTooSlow, PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.rate import Rate
from cachd.peer.server import PeerServer
from cachd.peer.throttle import Throttle
from registry_core.domain.manifest import Chunk
from registry_core.errors import InvalidInput
from tests.cache.versions import chunk_of, fill, make_version, random_bytes
from tests.peer.rig import address, following, wait_until

MIB = 1 << 20
DATA = random_bytes(8 * MIB, 11)
MANIFEST, CHUNKS = make_version({"weights.bin": DATA}, chunk_bytes=MIB)


def limit(text: str) -> Throttle:
    return Throttle(Rate.parse(text))


def seconds_at(text: str, count: int) -> tuple[float, float]:
    """The least time that so many bytes may take, and the most that they should."""
    exact_s = count / Rate.parse(text).bytes_per_s
    return exact_s - limits.RATE_BURST_S, 1.5 * exact_s


def in_threads(*works: Callable[[], None]) -> float:
    """All at once; seconds until the last has ended. What one raises is raised here."""
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised again below
            errors.append(error)

    began_s = time.monotonic()
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return time.monotonic() - began_s


def get_all(port: int, chunks: list[Chunk], intake: Intake | None = None) -> None:
    buffer = memoryview(bytearray(MIB))
    with PeerConnection(address(port), intake=intake) as peer:
        for chunk in chunks:
            peer.get_chunk_into(chunk, buffer)
            assert buffer == CHUNKS[chunk.id]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache") as opened:
        fill(opened, MANIFEST, CHUNKS)
        yield opened


ALL = list(MANIFEST.unique_chunks.values())


def test_a_limit_below_what_peers_bear_is_refused() -> None:
    with pytest.raises(InvalidInput, match="below 1mbit"):
        limit("999kbit")
    limit("1mbit")


def test_steps_are_short() -> None:
    assert limit("1mbit").step_bytes(256 * 1024) == 2500
    assert limit("64mbit").step_bytes(256 * 1024) == 160_000
    assert limit("2gbit").step_bytes(256 * 1024) == Throttle().step_bytes(256 * 1024) == 256 * 1024


def test_answers_keep_the_upload_limit_and_share_it(cache: Cache) -> None:
    least_s, most_s = seconds_at("64mbit", 8 * MIB)
    ends_s: list[float] = []

    def take(chunks: list[Chunk]) -> None:
        get_all(server.port, chunks)
        ends_s.append(time.monotonic())

    with PeerServer(cache, incarnation=1, bulk=BulkPath(upload=limit("64mbit"))) as server:
        took_s = in_threads(lambda: take(ALL[:4]), lambda: take(ALL[4:]))
    assert least_s <= took_s <= most_s
    assert abs(ends_s[0] - ends_s[1]) < took_s / 4, "neither waited for the other"


def test_pushes_keep_the_same_limit(cache: Cache) -> None:
    least_s, most_s = seconds_at("64mbit", 8 * MIB)
    with PeerServer(cache, incarnation=1, bulk=BulkPath(upload=limit("64mbit"))) as server:
        for number in range(4):
            server.offers.push(MANIFEST.digest, number)

        def follow() -> None:
            with following(address(server.port), MANIFEST.digest, 8) as follower:
                assert len(follower.hear_units(4)) == 4

        assert least_s <= in_threads(follow, lambda: get_all(server.port, ALL[4:])) <= most_s


def test_readers_of_one_fetch_keep_the_download_limit(cache: Cache) -> None:
    least_s, most_s = seconds_at("64mbit", 8 * MIB)
    intake = Intake(BulkPath(download=limit("64mbit")))
    with PeerServer(cache, incarnation=1) as server:
        took_s = in_threads(
            lambda: get_all(server.port, ALL[:4], intake),
            lambda: get_all(server.port, ALL[4:], intake),
        )
    assert least_s <= took_s <= most_s


def test_a_reader_held_up_by_its_own_limit_does_not_blame_the_peer(cache: Cache) -> None:
    """In each window the limit lets less through than a peer must send."""
    intake = Intake(BulkPath(download=limit("4mbit")))
    buffer = memoryview(bytearray(MIB))
    with PeerServer(cache, incarnation=1) as server:
        with PeerConnection(address(server.port), intake=intake, progress_window_s=0.3) as peer:
            peer.get_chunk_into(ALL[0], buffer)
        assert buffer == CHUNKS[ALL[0].id]
        assert intake.held_up_s > 0


def test_a_peer_that_is_slow_is_still_found_out(cache: Cache) -> None:
    """The limit of this node takes nothing from what it expects of others."""
    intake = Intake(BulkPath(download=limit("500mbit")))
    with (
        PeerServer(cache, incarnation=1, bulk=BulkPath(upload=limit("1mbit"))) as server,
        PeerConnection(address(server.port), intake=intake, progress_window_s=0.5) as peer,
        pytest.raises(PeerTooSlow),
    ):
        peer.get_chunk_into(ALL[0], memoryview(bytearray(MIB)))


def test_at_the_lowest_limit_one_chunk_leaves_at_a_time(cache: Cache) -> None:
    """More would each be so slow that readers took this node for dead."""
    started = threading.Event()

    def take(peer: PeerConnection) -> None:
        with pytest.raises(PeerUnreachable):
            peer.get_chunk_into(ALL[0], memoryview(bytearray(MIB)), lambda _: started.set())

    def served(peer: PeerConnection) -> bool:
        with contextlib.suppress(PeerBusy):
            peer.get_chunk_into(small, memoryview(bytearray(small.length)))
            return True
        return False

    manifest, chunks = make_version({"config.json": b"{}"})
    fill(cache, manifest, chunks)
    small = chunk_of(b"{}")
    with (
        PeerServer(cache, incarnation=1, bulk=BulkPath(upload=limit("1mbit"))) as server,
        PeerConnection(address(server.port)) as first,
        PeerConnection(address(server.port)) as second,
    ):
        reader = threading.Thread(target=take, args=(first,))
        reader.start()
        assert started.wait(10)
        assert not served(second)
        first.cut()
        reader.join()
        wait_until(lambda: served(second), "the share becoming free")


def test_stop_does_not_wait_for_the_limit(cache: Cache) -> None:
    server = PeerServer(cache, incarnation=1, bulk=BulkPath(upload=limit("1mbit")))
    with PeerConnection(address(server.port)) as peer:
        thread = threading.Thread(target=_until_cut, args=(peer,))
        thread.start()
        wait_until(lambda: server.connections == 1, "the connection")
        began_s = time.monotonic()
        server.stop()
        thread.join()
        assert time.monotonic() - began_s < 3


def _until_cut(peer: PeerConnection) -> None:
    """Or until all has come: once the server stops, no limit holds back what it sends before."""
    with contextlib.suppress(PeerUnreachable):
        peer.get_chunk_into(ALL[0], memoryview(bytearray(MIB)))


def test_a_wait_for_a_share_ends_with_the_fetch() -> None:
    throttle, stopping = limit("1mbit"), threading.Event()
    intake = Intake(BulkPath(download=throttle), stopping)
    with intake.transfer():
        waiting = threading.Timer(0.2, stopping.set)
        waiting.start()
        with pytest.raises(PeerUnreachable, match="stopped"), intake.transfer():
            pass
        waiting.join()
    began_s = time.monotonic()
    intake.take_all(100 * MIB)
    assert time.monotonic() - began_s < 1, "nor does anything wait that is booked already"
