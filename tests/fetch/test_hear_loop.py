"""One thread hears many peers: real sockets, to peers that behave and peers that do not."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.fetch import hear_loop
from cachd.fetch.events import ChunkPushed, Event, PeerSilent, PeerTold
from cachd.fetch.follow import Followers
from cachd.fetch.mailbox import Mailbox
from cachd.peer.bulk_path import BulkPath
from cachd.peer.errors import PeerMisbehaved, PeerTooSlow, PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.protocol import Status, encode_response_header
from cachd.peer.throttle import Throttle
from registry_core.errors import IntegrityError
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, make_version, random_bytes
from tests.peer.rig import (
    address,
    greet,
    maps_message,
    read_request,
    scripted_peer,
    unit_message,
)

FILES = {"weights.bin": random_bytes(12 * CHUNK, 31)}
MANIFEST, CHUNKS = make_version(FILES)
PIECES = [CHUNKS[chunk_id] for chunk_id in MANIFEST.unique_chunks]
COUNT = len(PIECES)


class Told:
    """The events of followers, in order."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self._events: deque[Event] = deque()

    def next(self, timeout_s: float = 20) -> Event:
        """TimeoutError, if there is none for so long."""
        if not self._events:
            self._events.extend(self.mailbox.take(timeout_s))
        if not self._events:
            raise TimeoutError
        return self._events.popleft()


@contextmanager
def following(
    root: Path, told: Told, intake: Intake | None = None
) -> Iterator[tuple[Cache, Followers]]:
    with Cache.open(root) as cache:
        cache.begin(MANIFEST)
        followers = Followers(cache, MANIFEST, 1, told.mailbox, lambda: None, intake or Intake())
        try:
            yield cache, followers
        finally:
            followers.stop()


def saying(*parts: bytes) -> Callable[[socket.socket], None]:
    """A peer that is followed, says so, and waits for the follower to go."""

    def script(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        for part in parts:
            connection.sendall(part)
        while connection.recv(1024):  # it tells what it holds, and goes
            pass

    return script


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_many_peers_push_at_once(tmp_path: Path) -> None:
    """In pieces that end anywhere, each peer its own chunks."""
    whole = [
        maps_message(bytes(2), bytes(2)) + unit_message(number, PIECES[number])
        for number in range(COUNT)
    ]
    told = Told()
    with ExitStack() as stack:
        cache, followers = stack.enter_context(following(tmp_path / "c", told))
        for number, said in enumerate(whole):
            cut = 7 * number + 3
            parts = [said[:cut], said[cut : 5 * cut], said[5 * cut :]]
            followers.follow(stack.enter_context(scripted_peer(saying(*parts))))
        pushed = set()
        while len(pushed) < COUNT:
            event = told.next()
            assert isinstance(event, PeerTold | ChunkPushed), event
            if isinstance(event, ChunkPushed):
                pushed.add(event.number)
        assert content(cache.publish(MANIFEST)) == FILES
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("cachd-hear") <= limits.HEAR_LOOPS
        assert "cachd-follow" not in names, "these hosts need not be looked up"


def test_who_finds_no_buffer_waits_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PUSHES_AT_ONCE", 1)
    release = threading.Event()

    def slowly(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        message = unit_message(0, PIECES[0])
        connection.sendall(message[:100])
        assert release.wait(20)
        connection.sendall(message[100:])
        connection.recv(1)

    told = Told()
    with (
        scripted_peer(slowly) as first,
        scripted_peer(saying(unit_message(1, PIECES[1]), unit_message(2, PIECES[2]))) as second,
        following(tmp_path / "c", told) as (cache, followers),
    ):
        followers.follow(first)
        deadline_s = time.monotonic() + 10
        while followers._incoming._buffers._free.qsize():
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        followers.follow(second)
        with pytest.raises(TimeoutError):
            told.next(timeout_s=0.5)
        release.set()
        assert {told.next(), told.next(), told.next()} == {
            ChunkPushed(first, 0), ChunkPushed(second, 1), ChunkPushed(second, 2),
        }  # fmt: skip
        assert cache.have(MANIFEST.digest) == b"\x07\0"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (unit_message(COUNT, b"?" * CHUNK), PeerMisbehaved),
        (unit_message(0, PIECES[0] + b"?"), PeerMisbehaved),
        (unit_message(0, bytes(CHUNK)), IntegrityError),
        (encode_response_header(Status.MAPS, 3), PeerMisbehaved),
        (encode_response_header(Status.OK, 0), PeerMisbehaved),
        (b"GET / HTTP/1.1\r\n\r\n", PeerMisbehaved),
    ],
)
def test_who_pushes_what_is_wrong_is_heard_no_more(
    tmp_path: Path, said: bytes, error: type[Exception]
) -> None:
    told = Told()
    with (
        scripted_peer(saying(said)) as bad,
        scripted_peer(saying(unit_message(5, PIECES[5]))) as good,
        following(tmp_path / "c", told) as (cache, followers),
    ):
        followers.follow(bad)
        event = told.next()
        assert isinstance(event, PeerSilent)
        assert isinstance(event.error, error)
        followers.follow(good)
        assert told.next() == ChunkPushed(good, 5), "the loop goes on"
        assert cache.have(MANIFEST.digest) == b"\x20\0", "and nothing else is kept"


def test_a_peer_that_goes_in_mid_chunk_is_told(tmp_path: Path) -> None:
    def goes(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        connection.sendall(unit_message(0, PIECES[0])[:-1])

    told = Told()
    with scripted_peer(goes) as peer, following(tmp_path / "c", told) as (cache, followers):
        followers.follow(peer)
        event = told.next()
        assert isinstance(event, PeerSilent)
        assert isinstance(event.error, PeerUnreachable)
        assert cache.have(MANIFEST.digest) == bytes(2)


def test_a_trickle_and_silence_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are shortened, the peers are real."""
    monkeypatch.setattr(limits, "PROGRESS_WINDOW_S", 0.5)
    monkeypatch.setattr(limits, "SILENCE_S_MAX", 1.0)
    monkeypatch.setattr(hear_loop, "_LOOK_S", 0.05)
    told = Told()
    begun = unit_message(0, PIECES[0])[:2000]
    with (
        scripted_peer(saying(begun)) as trickles,
        scripted_peer(saying(maps_message(bytes(2), bytes(2)))) as silent,
        following(tmp_path / "c", told) as (_, followers),
    ):
        followers.follow(trickles)
        event = told.next()
        assert isinstance(event, PeerSilent)
        assert isinstance(event.error, PeerTooSlow)
        assert "bytes in" in str(event.error)
        followers.follow(silent)
        assert isinstance(told.next(), PeerTold)
        event = told.next()
        assert isinstance(event, PeerSilent)
        assert "silent" in str(event.error)


def test_what_has_come_counts_though_the_loop_was_not_woken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is woken for the rest of a chunk, which takes longer than a window over a slow link."""
    monkeypatch.setattr(limits, "PROGRESS_WINDOW_S", 1.0)
    monkeypatch.setattr(limits, "PROGRESS_BYTES_MIN", CHUNK // 16)
    monkeypatch.setattr(hear_loop, "_LOOK_S", 0.05)
    message = unit_message(0, PIECES[0])

    def slowly(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        for start in range(0, len(message), CHUNK // 12):
            connection.sendall(message[start : start + CHUNK // 12])
            time.sleep(0.2)  # this slowness is what is tested: 2.4 s for the chunk
        connection.recv(1)

    told = Told()
    with scripted_peer(slowly) as slow, following(tmp_path / "c", told) as (_, followers):
        followers.follow(slow)
        assert told.next() == ChunkPushed(slow, 0)


def test_a_push_may_be_as_slow_as_those_who_share_the_link_make_it() -> None:
    intake = Intake()
    assert intake.least_bytes == intake.least_pushed_bytes == limits.PROGRESS_BYTES_MIN
    intake.followed = 31
    assert intake.least_bytes == limits.PROGRESS_BYTES_MIN, "one that is asked has no more to do"
    assert intake.least_pushed_bytes == limits.PROGRESS_BYTES_MIN * limits.PROGRESS_TRANSFERS // 31


def test_who_does_not_answer_or_greet_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are shortened. Linux drops what comes to a listener whose queue is full."""
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(limits, "RECEIVE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(hear_loop, "_LOOK_S", 0.05)
    told = Told()
    with (
        ExitStack() as stack,
        scripted_peer(lambda connection: connection.recv(1 << 16) and connection.recv(1)) as mute,
        following(tmp_path / "c", told) as (_, followers),
    ):
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        deaf = address(full.getsockname()[1], "deaf")
        gone = address(_free_port(), "gone")
        for peer in (deaf, mute, gone):
            followers.follow(peer)
        events = [told.next() for _ in range(3)]
        said = {e.address: e.error for e in events if isinstance(e, PeerSilent)}
        assert isinstance(said[deaf], PeerUnreachable)
        assert "does not answer" in str(said[deaf])
        assert isinstance(said[mute], PeerTooSlow)
        assert "does not greet" in str(said[mute])
        assert isinstance(said[gone], PeerUnreachable)
        assert "refused" in str(said[gone])


def test_one_that_is_cut_while_it_is_being_reached_is_told(tmp_path: Path) -> None:
    told = Told()
    with (
        ExitStack() as stack,
        following(tmp_path / "c", told) as (_, followers),
    ):
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(full.getsockname()))
        peer = address(full.getsockname()[1])
        followers.follow(peer)
        followers.cut(peer)
        event = told.next()
        assert isinstance(event, PeerSilent)
        assert isinstance(event.error, PeerUnreachable)


def test_a_host_may_have_a_name(tmp_path: Path) -> None:
    told = Told()
    with (
        scripted_peer(saying(unit_message(3, PIECES[3]))) as peer,
        following(tmp_path / "c", told) as (_, followers),
    ):
        named = dataclasses.replace(peer, host="localhost")
        followers.follow(named)
        assert told.next() == ChunkPushed(named, 3)


def test_under_a_limit_as_many_come_as_it_bears(tmp_path: Path) -> None:
    """At the lowest limit one chunk at a time, from whichever peer."""
    told, intake = Told(), Intake(BulkPath(download=Throttle.parse("1mbit")))
    with (
        scripted_peer(saying(*(unit_message(n, PIECES[n]) for n in range(0, COUNT, 2)))) as even,
        scripted_peer(saying(*(unit_message(n, PIECES[n]) for n in range(1, COUNT, 2)))) as odd,
        following(tmp_path / "c", told, intake) as (cache, followers),
    ):
        followers.follow(even)
        followers.follow(odd)
        events = [told.next() for _ in range(COUNT)]
        assert {event.number for event in events if isinstance(event, ChunkPushed)} == set(
            range(COUNT)
        )
        assert content(cache.publish(MANIFEST)) == FILES


def test_stop_ends_all_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    told = Told()
    with ExitStack() as stack:
        peers = [
            stack.enter_context(scripted_peer(saying(unit_message(0, PIECES[0])[:50])))
            for _ in range(5)
        ]
        with following(tmp_path / "c", told) as (_, followers):
            for peer in peers:
                followers.follow(peer)
    assert threading.active_count() == before
