"""Whatever a peer sends, the client ends within a bound and says what was wrong."""

from __future__ import annotations

import socket
import time
import tracemalloc

import pytest

from cachd.cache.documents import DocumentKind
from cachd.peer import protocol
from cachd.peer.client import PeerConnection, connected
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerError, PeerMisbehaved, PeerTooSlow, PeerUnreachable
from cachd.peer.hearing import Maps, Quiet, Unit
from cachd.peer.protocol import Status
from registry_core.domain.identifiers import Digest
from tests.cache.versions import chunk_of, random_bytes
from tests.peer.rig import (
    Script,
    address,
    following,
    greet,
    maps_message,
    read_request,
    scripted_peer,
    unit_message,
)

DATA = random_bytes(300_000, 3)
CHUNK = chunk_of(DATA)
DIGEST = Digest(bytes(32))
BOUND_S = 3.0


def connect(to: PeerAddress) -> PeerConnection:
    return PeerConnection(to, receive_timeout_s=0.3, progress_window_s=0.5)


def ask_chunk(to: PeerAddress) -> bytes:
    buffer = memoryview(bytearray(CHUNK.length))
    with connect(to) as peer:
        peer.get_chunk_into(CHUNK, buffer)
    return bytes(buffer)


def answering(response: bytes) -> Script:
    """Answers the first request with these bytes, then waits for the client to go."""

    def script(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        connection.sendall(response)
        connection.recv(1)

    return script


def header(length: int, status: Status = Status.OK) -> bytes:
    return protocol.encode_response_header(status, length)


def silent(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.recv(1000)


def drip(connection: socket.socket) -> None:
    greet(connection)
    read_request(connection)
    connection.sendall(header(CHUNK.length))
    for byte in DATA:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)  # this slowness is what is tested


def cut_short(connection: socket.socket) -> None:
    greet(connection)
    read_request(connection)
    connection.sendall(header(CHUNK.length) + DATA[:1000])


def test_a_good_answer() -> None:
    with scripted_peer(answering(header(CHUNK.length) + DATA)) as peer:
        assert ask_chunk(peer) == DATA


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param(answering(b"HTTP/1.1 200 OK\r\n\r\n" * 9), PeerMisbehaved, id="garbage"),
        pytest.param(answering(header(CHUNK.length + 1)), PeerMisbehaved, id="too much"),
        pytest.param(answering(header(0xFFFF_FFFF)), PeerMisbehaved, id="far too much"),
        pytest.param(answering(header(CHUNK.length - 1)), PeerMisbehaved, id="too little"),
        pytest.param(answering(header(0)), PeerMisbehaved, id="nothing"),
        pytest.param(answering(header(5, Status.BUSY)), PeerMisbehaved, id="busy with bytes"),
        pytest.param(answering(header(0, Status.BAD_REQUEST)), PeerMisbehaved, id="refusal"),
        pytest.param(answering(header(CHUNK.length)[:5]), PeerUnreachable, id="half a header"),
        pytest.param(answering(header(CHUNK.length) + DATA[:-1]), PeerError, id="one byte less"),
        pytest.param(cut_short, PeerUnreachable, id="killed in the middle"),
        pytest.param(silent, PeerError, id="says nothing"),
        pytest.param(drip, PeerTooSlow, id="a byte now and then"),
    ],
)
def test_a_bad_answer_is_an_error_within_a_bound(script: Script, error: type[PeerError]) -> None:
    began_s = time.monotonic()
    with scripted_peer(script) as peer:
        with pytest.raises(PeerError) as caught:
            ask_chunk(peer)
        assert time.monotonic() - began_s < BOUND_S
    assert isinstance(caught.value, error | PeerTooSlow)
    assert "peer" in str(caught.value)


def test_bytes_after_the_answer_spoil_the_next_one() -> None:
    with (
        scripted_peer(answering(header(CHUNK.length) + DATA + b"more than asked for")) as peer,
        connect(peer) as connection,
    ):
        buffer = memoryview(bytearray(CHUNK.length))
        connection.get_chunk_into(CHUNK, buffer)
        with pytest.raises(PeerMisbehaved):
            connection.get_chunk_into(CHUNK, buffer)
        assert connection.closed


def test_a_wrong_hello_is_told() -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n")
        connection.recv(1000)

    with scripted_peer(script) as peer, pytest.raises(PeerMisbehaved, match="protocol"):
        connect(peer)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerUnreachable, match="cannot be reached"):
        connect(address(port))


def test_an_address_is_reached_without_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_resolver(*_: object) -> None:
        pytest.fail("an address was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", no_resolver)
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        with connected(address(place[1])) as connection:
            assert connection.getpeername() == place


@pytest.mark.parametrize("length", [3, 5, 2_000_000])
def test_a_map_of_the_wrong_length_is_refused(length: int) -> None:
    with (
        scripted_peer(answering(header(length, Status.MAPS) + bytes(min(length, 64)))) as peer,
        following(peer, DIGEST, 16) as follower,
    ):
        with pytest.raises(PeerMisbehaved, match="MAPS"):
            follower.hear()
        assert follower.peer.closed


def test_a_follower_hears_maps_units_and_quiet() -> None:
    said = (
        header(0, Status.NOT_FOUND) + maps_message(b"\x03", b"\x04") + header(0, Status.QUIET)
        + unit_message(2, DATA)
    )  # fmt: skip
    with scripted_peer(answering(said)) as peer, following(peer, DIGEST, 8) as follower:
        assert follower.hear() == Quiet(known=False)
        assert follower.hear() == Maps(b"\x03", b"\x04")
        assert follower.hear() == Quiet(known=True)
        assert follower.hear() == Unit(2, len(DATA))
        assert follower.receive(Unit(2, len(DATA))) == DATA


@pytest.mark.parametrize("status", [Status.OK, Status.BUSY, Status.BAD_REQUEST])
def test_a_follower_is_not_answered_like_others(status: Status) -> None:
    with (
        scripted_peer(answering(header(4, status))) as peer,
        following(peer, DIGEST, 8) as follower,
        pytest.raises(PeerMisbehaved, match="follower"),
    ):
        follower.hear()


def test_an_announced_length_takes_no_memory() -> None:
    """A document that is announced as 100 MiB and never comes."""
    with (
        scripted_peer(answering(header(100 << 20) + bytes(1000))) as peer,
        connect(peer) as connection,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(PeerTooSlow):
                connection.document(DIGEST, DocumentKind.MANIFEST, bytes_max=128 << 20)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def test_a_document_above_its_bound_is_refused() -> None:
    with (
        scripted_peer(answering(header(101))) as peer,
        connect(peer) as connection,
        pytest.raises(PeerMisbehaved, match="more than 100"),
    ):
        connection.document(DIGEST, DocumentKind.BUNDLE, bytes_max=100)
