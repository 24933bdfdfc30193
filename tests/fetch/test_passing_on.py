"""Chunks that go to followers while they come from the origin: a real one over HTTP, which does
what each test wants, and real followers. Enough peers are listed that a node passes on; none of
them is there."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from cachd import limits
from cachd.fetch.errors import FetchFailed
from cachd.fetch.report import FetchReport
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.hearing import Unit
from registry_core.domain.identifiers import NodeId
from registry_core.domain.limits import CHUNK_PART
from registry_core.origin.patience import ONCE
from registry_core.origin.store import Origin
from tests.cache.versions import make_version, random_bytes
from tests.fetch.rig import Node, node, nodes, put_packs, served
from tests.fetch.test_fetch import in_threads
from tests.peer.rig import Follower, following, wait_until

CHUNK = 8 * CHUNK_PART
DATA = random_bytes(CHUNK, 5)
MANIFEST, CHUNKS = make_version({"w.bin": DATA}, CHUNK, marked=True)
PLACES = put_packs(None, MANIFEST, CHUNKS)
HALF = 4 * CHUNK_PART + 1000
PROVEN = 3 * CHUNK_PART
"""Of a half at least: less than a part may wait for more."""

Answer = Callable[[BaseHTTPRequestHandler], None]


def origin_that(answers: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(206)
            self.send_header("Content-Length", str(CHUNK))
            self.send_header("Content-Range", f"bytes 0-{CHUNK - 1}/{CHUNK + 1000}")
            self.end_headers()
            answers(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            pass

    return Handler


def absent() -> list[PeerAddress]:
    """As many nodes as make one pass on, at ports where nobody listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(limits.PASSING_ON_NODES)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [
            PeerAddress(NodeId(f"absent-{n}"), "127.0.0.1", one.getsockname()[1])
            for n, one in enumerate(sockets)
        ]


class Fetching:
    """A node that fetches in a thread."""

    def __init__(self, owner: Node) -> None:
        self.owner = owner
        self.report: FetchReport | None = None
        self.failed: FetchFailed | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.report = self.owner.fetch(MANIFEST, PLACES, absent())
        except FetchFailed as error:
            self.failed = error


@contextmanager
def fetching(tmp_path: Path, answers: Answer) -> Iterator[tuple[Fetching, Follower]]:
    """Over an origin like that, and one who follows it."""
    with (
        served(origin_that(answers), ONCE) as origin,
        node(tmp_path / "owner", origin) as owner,
        following(owner.address, MANIFEST.digest, 1) as follower,
    ):
        under_way = Fetching(owner)
        try:
            yield under_way, follower
        finally:
            under_way.thread.join()


def unit(follower: Follower) -> Unit:
    while not isinstance(message := follower.hear(), Unit):
        pass
    assert (message.number, message.length) == (0, CHUNK)
    return message


def take(follower: Follower, count: int) -> bytes:
    return follower.receive(Unit(0, count))


def rest(follower: Follower) -> bytes:
    """All that comes until the connection ends."""
    follower.peer.wake_at(1)
    buffer, data = memoryview(bytearray(CHUNK)), b""
    while True:
        assert select.select([follower.peer], [], [], 10)[0], "the connection goes on"
        try:
            data += buffer[: follower.peer.receive_now(buffer)]
        except (PeerUnreachable, ConnectionResetError):
            return data


def test_a_part_is_with_followers_before_the_rest_has_come(tmp_path: Path) -> None:
    first_there = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(DATA[:HALF])
        assert first_there.wait(10)
        request.wfile.write(DATA[HALF:])

    with fetching(tmp_path, answer) as (under_way, follower):
        try:
            unit(follower)
            assert take(follower, PROVEN) == DATA[:PROVEN]
        finally:
            first_there.set()
        assert take(follower, CHUNK - PROVEN) == DATA[PROVEN:]
    assert under_way.report is not None
    assert under_way.report.bytes_from_origin == CHUNK
    assert under_way.report.complaints == ()


@pytest.mark.parametrize("wrong_at", [0, 5 * CHUNK_PART + 7, CHUNK - 1])
def test_no_byte_of_a_part_that_is_wrong_leaves_the_node(tmp_path: Path, wrong_at: int) -> None:
    wrong = bytearray(DATA)
    wrong[wrong_at] ^= 1
    right = wrong_at // CHUNK_PART * CHUNK_PART
    before = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(wrong[:right])
        assert before.wait(10)
        request.wfile.write(wrong[right:])

    with fetching(tmp_path, answer) as (under_way, follower):
        sent = b""
        try:
            if right:
                unit(follower)
                sent = take(follower, right - CHUNK_PART)
        finally:
            before.set()
        if right:
            sent += rest(follower)
        assert DATA[:right].startswith(sent)
        under_way.thread.join()
        if not right:
            assert not any(isinstance(message, Unit) for message in follower.heard())
        assert under_way.owner.server.bytes_sent == 0, "no whole chunk"
        assert under_way.owner.server.offers.passing(MANIFEST.digest, 0) is None
    assert under_way.failed is not None
    assert "bytes are not what its id says" in str(under_way.failed)


def test_an_origin_that_breaks_off_is_asked_again(tmp_path: Path) -> None:
    """Who was being sent the chunk sees the connection end, follows again, and has all of it."""
    tries: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        tries.append(1)
        if len(tries) == 1:
            request.wfile.write(DATA[:HALF])
            request.wfile.flush()
            broken_off.wait(10)
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            request.wfile.write(DATA)

    broken_off = threading.Event()
    with fetching(tmp_path, answer) as (under_way, follower):
        try:
            unit(follower)
            assert take(follower, PROVEN) == DATA[:PROVEN]
        finally:
            broken_off.set()
        assert DATA[PROVEN:HALF].startswith(rest(follower))
        with following(under_way.owner.address, MANIFEST.digest, 1) as again:
            assert again.hear_units(1) == {0: DATA}
    assert under_way.report is not None
    assert len(tries) == 2


def test_who_is_slow_gets_the_chunk_after_it_is_stored(tmp_path: Path) -> None:
    """From memory, in which it stays for as long as it is being sent."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(DATA)

    with fetching(tmp_path, answer) as (under_way, follower):
        unit(follower)
        under_way.thread.join()
        offers = under_way.owner.server.offers
        wait_until(lambda: offers.passing(MANIFEST.digest, 0) is None, "storing it")
        assert take(follower, CHUNK) == DATA


def test_many_nodes_pass_on_and_bring_one_copy(tmp_path: Path) -> None:
    count = limits.PASSING_ON_NODES
    data = random_bytes(2 * count * 2 * CHUNK_PART, 6)
    manifest, chunks = make_version({"w.bin": data}, 2 * CHUNK_PART, marked=True)
    origin = Origin.open(f"file://{tmp_path / 'origin'}")
    places = put_packs(origin, manifest, chunks)
    with nodes(tmp_path, origin, [f"n{n}" for n in range(count)]) as all_of_them:
        addresses = [one.address for one in all_of_them]
        reports = in_threads([
            lambda one=one: one.fetch(
                manifest, places, [a for a in addresses if a != one.address]
            )
            for one in all_of_them
        ])  # fmt: skip
        for one in all_of_them:
            assert (one.cache.publish(manifest) / "w.bin").read_bytes() == data
    assert all(report.complaints == () for report in reports)
    assert sum(report.bytes_from_origin for report in reports) < 1.5 * len(data)
