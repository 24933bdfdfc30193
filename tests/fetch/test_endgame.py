"""The last chunks: what is late is asked of a second peer, and the loser is cancelled."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from cachd import limits
from cachd.fetch.attempts import Attempt, Attempts
from cachd.fetch.events import ChunkFailed, ChunkStored
from cachd.fetch.executor import Crew
from cachd.fetch.lateness import Lateness
from cachd.fetch.plan import Assignment, Wanted
from cachd.fetch.view import Fixed, PeerState
from cachd.peer import protocol
from cachd.peer.bulk_path import UNBOUNDED
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.protocol import Follow, GetChunk, Status
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Chunk
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, fill, make_version, random_bytes
from tests.fetch.rig import node, nodes
from tests.fetch.test_plan import NODES, by_source, peer, planned, view, wanted
from tests.peer.rig import Script, greet, maps_message, read_request, scripted_peer

ONE = {"weights.bin": random_bytes(40 * CHUNK + 100, 5), "config.json": b"{}"}
WHOLE = [peer(one, state=PeerState.COMPLETE) for one in NODES[:2]]


def test_what_is_late_is_asked_of_another_holder() -> None:
    seen = view(2, *WHOLE, in_flight={0, 1}, late={1: NODES[0]})
    assert planned(seen) == [Assignment(wanted(1), NODES[1])]


def test_nobody_is_asked_twice_for_the_same() -> None:
    assert planned(view(2, WHOLE[0], in_flight={0, 1}, late={1: NODES[0]})) == []


def test_whoever_has_no_free_slot_is_not_asked_as_a_second() -> None:
    full = peer(NODES[1], state=PeerState.COMPLETE, slots_free=0)
    assert planned(view(2, WHOLE[0], full, in_flight={0, 1}, late={1: NODES[0]})) == []


def test_the_origin_is_never_the_second() -> None:
    seen = view(1, peer(NODES[1]), in_flight={0}, late={0: NODES[0]})
    assert Fixed.ORIGIN not in by_source(planned(seen))


def test_what_nobody_was_asked_for_goes_first() -> None:
    seen = view(2, *WHOLE, in_flight={1}, late={1: NODES[0]})
    assert [a.wanted.number for a in planned(seen)] == [0, 1]


def test_lateness_is_what_most_stay_below() -> None:
    late = Lateness(1.0, 0.05, 5.0)
    for _ in range(7):
        late.took(0.1)
    assert late.after_s(5.0) == 5.0, "too few to tell"
    for _ in range(60):
        late.took(0.2)
    assert late.after_s(5.0) == 0.25
    late.took(90.0)
    assert late.after_s(5.0) == 0.25
    for _ in range(64):
        late.took(90.0)
    assert late.after_s(5.0) == 5.0


def attempt_at(number: int, source: NodeId | Fixed, began_s: float = 0.0) -> Attempt:
    return Attempt(wanted(number), source, None, None, began_s)


def test_a_chunk_is_under_way_until_its_last_attempt_ends() -> None:
    attempts = Attempts(4)
    first, second = attempt_at(1, NODES[0], 10.0), attempt_at(1, NODES[1], 11.0)
    other = attempt_at(3, Fixed.ORIGIN, 12.0)
    attempts.add(first)
    assert attempts.single_since(10.5) == {1: NODES[0]}
    attempts.add(second)
    attempts.add(other)
    assert attempts.single_since(11.5) == {}
    assert attempts.single_since(12.5) == {3: Fixed.ORIGIN}
    assert (len(attempts), attempts.bytes) == (3, 3 * first.wanted.chunk.length)
    assert attempts.from_origin().tolist() == [False, False, False, True]
    attempts.remove(first)
    assert attempts.flying.tolist() == [False, True, False, True]
    assert attempts.at(1) == (second,)
    attempts.remove(second)
    assert attempts.flying.tolist() == [False, False, False, True]
    assert (list(attempts), attempts.bytes) == ([other], other.wanted.chunk.length)


def test_the_last_chunk_does_not_wait_for_who_fell_asleep_over_it(tmp_path: Path) -> None:
    """A peer that claims to have all, and falls asleep the first time that it is asked."""
    manifest, chunks = make_version(ONE)
    size = (len(manifest.unique_chunks) + 7) // 8
    asleep, ended = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        greet(connection)
        while True:
            request = read_request(connection)
            if isinstance(request, Follow):
                held = (1 << len(manifest.unique_chunks)) - 1
                connection.sendall(maps_message(held.to_bytes(size, "little"), bytes(size)))
            elif isinstance(request, GetChunk):
                data = chunks[request.chunk_id]
                sleeps = not asleep.is_set()
                asleep.set()
                head = protocol.encode_response_header(Status.OK, request.length)
                connection.sendall(head + data[: len(data) // 2 if sleeps else None])
                if sleeps:
                    connection.recv(1)  # until the other side ends it
                    ended.set()

    with (
        scripted_peer(script) as sleeper,
        nodes(tmp_path, None, ["seed", "a"]) as (seed, alone),
    ):
        fill(seed.cache, manifest, chunks)
        began_s = time.monotonic()
        report = alone.fetch(manifest, {}, [sleeper, seed.address])
        took_s = time.monotonic() - began_s
        assert content(alone.cache.publish(manifest)) == ONE
        assert ended.wait(10)
    assert report.complaints == ()
    assert took_s < limits.PROGRESS_WINDOW_S / 2, "after which a sleeper is given up anyway"


def hanging(asked: threading.Event, ended: threading.Event) -> Script:
    """Sends half of the first chunk, and later ones whole."""

    def script(connection: socket.socket) -> None:
        greet(connection)
        while isinstance(request := read_request(connection), GetChunk):
            head = protocol.encode_response_header(Status.OK, request.length)
            if asked.is_set():
                connection.sendall(head + ONE["weights.bin"][: request.length])
                continue
            connection.sendall(head + bytes(request.length // 2))
            asked.set()
            assert connection.recv(1) == b""
            ended.set()

    return script


def test_a_cancelled_attempt_ends_and_its_thread_goes_on(tmp_path: Path) -> None:
    manifest, _ = make_version(ONE)
    first = next(c for c in manifest.unique_chunks.values() if c.length == CHUNK)
    asked, ended = threading.Event(), threading.Event()
    with scripted_peer(hanging(asked, ended)) as address, node(tmp_path / "a", None) as alone:
        alone.cache.begin(manifest)
        crew = Crew(
            alone.cache, None, manifest, 1, UNBOUNDED, lambda _: None, store_threads=4, niceness=0
        )
        try:
            hung, again = (_attempt_at(first, address) for _ in range(2))
            crew.fetch([hung], threads=1)
            assert asked.wait(10)
            crew.cancel(again)  # not under way: nothing is cut
            crew.cancel(hung)
            (event,) = crew.mailbox.take(10)
            assert isinstance(event, ChunkFailed)
            assert event.attempt is hung
            assert isinstance(event.error, PeerUnreachable)
            assert ended.wait(10)
            again.abandoned = False
            crew.fetch([again], threads=1)
            (event,) = crew.mailbox.take(10)
            assert isinstance(event, ChunkStored)
        finally:
            crew.stop()


def _attempt_at(chunk: Chunk, address: PeerAddress) -> Attempt:
    return Attempt(Wanted(0, chunk), address.node_id, address, None, 0.0)
