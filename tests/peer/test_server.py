"""The peer server gives verified bytes only, and bounds what any peer can cost it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.documents import DocumentKind
from cachd.cache.verifier import verify
from cachd.peer import protocol
from cachd.peer.bulk_path import BulkPath
from cachd.peer.client import PeerConnection
from cachd.peer.errors import NotTrusted, PeerBusy, PeerLacks, PeerUnreachable
from cachd.peer.hearing import Maps, Quiet
from cachd.peer.protocol import Follow, GetChunk, Held, Status
from cachd.peer.server import PeerServer
from cachd.peer.trusted import TrustedNetworks
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Chunk
from registry_core.errors import InvalidInput
from tests.cache.versions import CHUNK, chunk_of, fill, make_version, random_bytes
from tests.peer.rig import address, following, wait_until

BIG = random_bytes(8 << 20, 4)
FILES = {"small.bin": random_bytes(5 * CHUNK, 1), "config.json": b"{}"}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache") as opened:
        manifest, chunks = make_version(FILES)
        fill(opened, manifest, chunks)
        opened.put_documents(manifest.digest, manifest.encoded, b"the bundle", b"the hint")
        yield opened


@pytest.fixture
def server(cache: Cache) -> Iterator[PeerServer]:
    with PeerServer(cache, incarnation=42) as running:
        yield running


def get(connection: PeerConnection, chunk: Chunk) -> bytes:
    buffer = memoryview(bytearray(chunk.length))
    told: list[int] = []
    connection.get_chunk_into(chunk, buffer, told.append)
    assert told[-1] == chunk.length
    assert told == sorted(told)
    return bytes(buffer)


def with_big_chunk(cache: Cache) -> Chunk:
    manifest, chunks = make_version({"big.bin": BIG}, chunk_bytes=len(BIG))
    fill(cache, manifest, chunks)
    return chunk_of(BIG)


def test_chunks_maps_and_documents(server: PeerServer) -> None:
    manifest, chunks = make_version(FILES)
    with PeerConnection(address(server.port)) as peer:
        assert peer.incarnation == 42
        for chunk in manifest.unique_chunks.values():
            assert get(peer, chunk) == chunks[chunk.id]
        documents = [
            peer.document(manifest.digest, kind, bytes_max=1 << 20) for kind in DocumentKind
        ]
        assert documents == [manifest.encoded, b"the bundle", b"the hint"]
    wait_until(lambda: server.bytes_sent == sum(map(len, FILES.values())), "counting")


def test_a_follower_of_a_whole_version_is_told_so(server: PeerServer) -> None:
    manifest, _ = make_version(FILES)
    with following(address(server.port), manifest.digest, 6) as follower:
        assert follower.hear() == Quiet(known=True)
        assert follower.hear() == Maps(b"\x3f", b"\0")


def test_a_version_is_offered_while_it_is_filled(server: PeerServer, cache: Cache) -> None:
    manifest, chunks = make_version({"new.bin": random_bytes(9 * CHUNK, 8)})
    with (
        following(address(server.port), manifest.digest, 9) as follower,
        PeerConnection(address(server.port)) as other,
    ):
        assert follower.hear() == Quiet(known=False)
        missing = cache.begin(manifest).missing
        server.offers.begin(manifest.digest)
        assert follower.hear() == Maps(b"\0\0", b"\0\0")
        server.offers.claim(manifest.digest, b"\x04\x01")
        assert follower.hear() == Maps(b"\0\0", b"\x04\x01")
        cache.store(verify(missing[8], chunks[missing[8].id]))
        assert follower.hear() == Maps(b"\x00\x01", b"\x04\x01")
        assert get(other, missing[8]) == chunks[missing[8].id]
        with pytest.raises(PeerLacks):
            get(other, missing[0])
        assert get(other, missing[8]) == chunks[missing[8].id], "the connection goes on"


def test_a_promise_that_will_not_be_kept_is_taken_back_at_once(
    server: PeerServer, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or followers would wait for the chunk. All else can wait for the next maps."""
    monkeypatch.setattr(limits, "MAPS_INTERVAL_S", 3600.0)
    manifest, chunks = make_version({"new.bin": random_bytes(9 * CHUNK, 8)})
    missing = cache.begin(manifest).missing
    with following(address(server.port), manifest.digest, 9) as follower:
        assert follower.hear() == Quiet(known=True)
        assert follower.hear() == Maps(b"\0\0", b"\0\0")
        server.offers.claim(manifest.digest, b"\x06\x01")
        assert follower.hear() == Maps(b"\0\0", b"\x06\x01")
        cache.store(verify(missing[8], chunks[missing[8].id]))
        server.offers.claim(manifest.digest, b"\x06\0")  # that one is kept: no news
        server.offers.claim(manifest.digest, b"\x04\0")
        assert follower.hear() == Maps(b"\0\x01", b"\x04\0")


def test_what_came_from_the_origin_is_pushed_to_every_follower(
    server: PeerServer, cache: Cache
) -> None:
    manifest, chunks = make_version({"new.bin": random_bytes(9 * CHUNK, 8)})
    missing = cache.begin(manifest).missing
    with following(address(server.port), manifest.digest, 9) as early:
        for number in (3, 5, 8):
            cache.store(verify(missing[number], chunks[missing[number].id]))
        for number in (3, 8):  # the fifth came from a peer, which pushes it itself
            server.offers.push(manifest.digest, number)
        expected = {number: chunks[missing[number].id] for number in (3, 8)}
        assert early.hear_units(2) == expected
        with following(address(server.port), manifest.digest, 9) as late:
            assert late.hear_units(2) == expected, "who comes late gets it as well"
        with following(address(server.port), manifest.digest, 9, b"\x08") as resumed:
            assert resumed.hear_units(1) == {8: expected[8]}, "but not what it holds"
    wait_until(lambda: server.connections == 0, "noticing that the followers have gone")
    assert server.offers.backlog(manifest.digest) == 0


def test_pushes_over_loopback_wait_for_no_acknowledgement(server: PeerServer, cache: Cache) -> None:
    """Where a segment is 64 KiB, a send buffer of one stands still 40 ms for each two."""
    pushed = [random_bytes(8 << 20, seed) for seed in range(3)]
    manifest, chunks = make_version({"big.bin": b"".join(pushed)}, chunk_bytes=8 << 20)
    fill(cache, manifest, chunks)
    with following(address(server.port), manifest.digest, 3) as follower:
        for number in range(3):
            server.offers.push(manifest.digest, number)
        began_s = time.monotonic()
        assert follower.hear_units(3) == dict(enumerate(pushed))
        assert time.monotonic() - began_s < 5, "it takes 15 s at that pace, and 0.1 s without it"


def threads_beside(before: set[threading.Thread]) -> int:
    """How many have begun since. Some of those before may have ended, as other tests left them."""
    return len(set(threading.enumerate()) - before)


def test_followers_and_askers_for_nothing_cost_no_thread_each(server: PeerServer) -> None:
    manifest, _ = make_version(FILES)
    to, before = address(server.port), set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        followers = [
            stack.enter_context(following(to, manifest.digest, 6, b"\x01")) for _ in range(20)
        ]
        assert all(follower.hear() == Quiet(known=True) for follower in followers)
        for _ in range(10):
            asker = stack.enter_context(PeerConnection(to))
            for kind in DocumentKind:
                with pytest.raises(PeerLacks):
                    asker.document(Digest(bytes(32)), kind, bytes_max=10)
        assert server.connections == 30
        assert threads_beside(before) == 0
        assert asker.document(manifest.digest, DocumentKind.HINT, bytes_max=10) == b"the hint"
        assert threads_beside(before) == 1, "who asks for bytes has one"


def test_a_newcomer_is_heard_bit_by_bit_and_delays_no_other(server: PeerServer) -> None:
    manifest, _ = make_version(FILES)
    said = b"".join(
        [
            protocol.encode_hello(1),
            *(protocol.encode_request(Held(8 * place, b"\xff")) for place in range(100)),
            protocol.encode_request(Follow(manifest.digest)),
        ]
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)
        for at in range(0, len(said), 101):
            raw.sendall(said[at : at + 101])
            with PeerConnection(address(server.port)) as other:
                assert get(other, chunk_of(FILES["config.json"])) == b"{}"
        header = raw.recv(protocol.HEADER_BYTES, socket.MSG_WAITALL)
        assert protocol.decode_response_header(header) == (Status.QUIET, 0)
    wait_until(lambda: server.connections == 0, "noticing that both have gone")


def test_accepting_goes_on_once_there_are_descriptors_again(server: PeerServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    late, kept = socket.socket(), []
    late.settimeout(10)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        with contextlib.suppress(OSError):
            while True:
                kept.append(os.dup(0))
        late.connect(("127.0.0.1", server.port))
        used = time.process_time()
        time.sleep(1.0)  # in which a thread that tried without pause would be seen
        assert time.process_time() - used < 0.5
        assert server.connections == 0
    finally:
        for descriptor in kept:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with late:
        assert len(late.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)) == protocol.HELLO_BYTES


def test_a_follower_that_takes_nothing_delays_no_other(server: PeerServer, cache: Cache) -> None:
    chunk = with_big_chunk(cache)
    manifest, _ = make_version({"big.bin": BIG}, chunk_bytes=len(BIG))
    with (
        following(address(server.port), manifest.digest, 1),
        following(address(server.port), manifest.digest, 1) as quick,
    ):
        wait_until(lambda: server.connections == 2, "following")
        server.offers.push(manifest.digest, 0)
        assert quick.hear_units(1) == {0: BIG}
        wait_until(lambda: server.offers.backlog(manifest.digest) == 1, "being behind with one")
    assert chunk.length == len(BIG)


@pytest.mark.parametrize("first", [1, 8 * limits.HAVE_BITMAP_MAX, (1 << 32) - 8])
@pytest.mark.parametrize("before", [True, False])
def test_a_follower_cannot_hold_what_no_version_has(
    server: PeerServer, first: int, before: bool
) -> None:
    manifest, _ = make_version(FILES)
    follow, held = Follow(manifest.digest), Held(first, b"\xff")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        requests = (held, follow) if before else (follow, held)
        raw.sendall(
            protocol.encode_hello(1) + b"".join(protocol.encode_request(one) for one in requests)
        )
        with contextlib.suppress(ConnectionResetError):  # it ends with something unread
            while raw.recv(1 << 16):
                pass


def test_a_follower_asks_for_nothing_else(server: PeerServer) -> None:
    manifest, _ = make_version(FILES)
    chunk = manifest.files[1].chunks[2]
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        requests = (Follow(manifest.digest), GetChunk(chunk.id, 0, 10))
        raw.sendall(
            protocol.encode_hello(1) + b"".join(protocol.encode_request(one) for one in requests)
        )
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(1 << 16):
                pass


def test_what_is_not_there_is_not_found(server: PeerServer) -> None:
    with PeerConnection(address(server.port)) as peer:
        with pytest.raises(PeerLacks):
            get(peer, Chunk(ChunkId(bytes(32)), 5))
        with pytest.raises(PeerLacks):
            peer.document(Digest(bytes(32)), DocumentKind.MANIFEST, bytes_max=10)


def test_parts_of_a_chunk_and_pipelined_requests(server: PeerServer) -> None:
    manifest, chunks = make_version(FILES)
    chunk = manifest.files[1].chunks[2]
    units = [(0, 10), (10, chunk.length - 10), (chunk.length - 1, 1), (1, chunk.length), (3, 4)]
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        requests = [protocol.encode_request(GetChunk(chunk.id, *unit)) for unit in units]
        raw.sendall(protocol.encode_hello(1) + b"".join(requests))
        assert len(raw.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)) == protocol.HELLO_BYTES
        for offset, length in units:
            header = raw.recv(protocol.HEADER_BYTES, socket.MSG_WAITALL)
            status, count = protocol.decode_response_header(header)
            if offset + length > chunk.length:
                assert (status, count) == (Status.BAD_REQUEST, 0)
            else:
                data = raw.recv(count, socket.MSG_WAITALL)
                assert data == chunks[chunk.id][offset : offset + length]


def test_an_unknown_request_is_refused_and_a_damaged_header_ends_it(server: PeerServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(protocol.encode_hello(1) + bytes.fromhex("0900000000000002") + b"??")
        raw.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)
        header = raw.recv(protocol.HEADER_BYTES, socket.MSG_WAITALL)
        assert protocol.decode_response_header(header) == (Status.BAD_REQUEST, 0)
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert _ends(raw)


def test_no_hello_no_service(server: PeerServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        raw.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)
        assert _ends(raw)


def test_slots_taken_means_busy_at_once(cache: Cache) -> None:
    big = with_big_chunk(cache)
    with PeerServer(cache, incarnation=1, bulk=BulkPath(upload_slots=1)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.sendall(protocol.encode_hello(1))
            slow.sendall(protocol.encode_request(GetChunk(big.id, 0, big.length)))
            slow.recv(protocol.HELLO_BYTES + protocol.HEADER_BYTES, socket.MSG_WAITALL)
            with PeerConnection(address(server.port)) as other:
                began_s = time.monotonic()
                with pytest.raises(PeerBusy):
                    get(other, big)
                assert time.monotonic() - began_s < 2
        with PeerConnection(address(server.port)) as other:
            wait_until(lambda: _served(other, big), "the slot becoming free")


def _served(peer: PeerConnection, chunk: Chunk) -> bool:
    try:
        return get(peer, chunk) == BIG
    except PeerBusy:
        return False


def test_a_reader_that_stops_is_cut_off(cache: Cache) -> None:
    big = with_big_chunk(cache)
    with PeerServer(cache, incarnation=1, send_timeout_s=0.3) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.sendall(protocol.encode_hello(1))
            raw.sendall(protocol.encode_request(GetChunk(big.id, 0, big.length)))
            wait_until(lambda: server.connections == 0, "cutting the connection")
        assert server.bytes_sent == 0


def test_an_idle_connection_is_cut_off(cache: Cache) -> None:
    with (
        PeerServer(cache, incarnation=1, idle_timeout_s=0.3) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw,
    ):
        raw.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)
        assert _ends(raw)


def test_connections_are_bounded(cache: Cache) -> None:
    with PeerServer(cache, incarnation=1, connections_max=2) as server:
        first, second = (PeerConnection(address(server.port)) for _ in range(2))
        with pytest.raises(PeerUnreachable):
            PeerConnection(address(server.port))
        first.close()
        wait_until(lambda: server.connections == 1, "noticing that one has gone")
        PeerConnection(address(server.port)).close()
        second.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "models.example.com", ""])
def test_only_loopback_without_identities(cache: Cache, host: str) -> None:
    with pytest.raises(NotTrusted, match="no identities"):
        PeerServer(cache, incarnation=1, host=host)


def test_a_declared_network_is_trusted(cache: Cache) -> None:
    trusted = TrustedNetworks.parse(["10.20.0.0/16", "fd00:1234::/48"])
    assert trusted.include("10.20.255.1")
    assert trusted.include("fd00:1234:0:9::1")
    assert not trusted.include("10.21.0.1")
    assert not trusted.include("models.example.com")
    with pytest.raises(PeerUnreachable, match="cannot listen"):  # allowed, but not of this host
        PeerServer(cache, incarnation=1, host="10.20.0.1", trusted=trusted)


@pytest.mark.parametrize("text", ["10.20.0.1/16", "0.0.0.0/0", "::/0", "everywhere", ""])
def test_a_network_must_be_one(text: str) -> None:
    with pytest.raises(InvalidInput):
        TrustedNetworks.parse([text])


def test_a_taken_port_is_told(cache: Cache, server: PeerServer) -> None:
    with pytest.raises(PeerUnreachable, match="another port"):
        PeerServer(cache, incarnation=1, port=server.port)


def test_stop_ends_every_thread_and_connection(cache: Cache) -> None:
    before = set(threading.enumerate())
    server = PeerServer(cache, incarnation=1)
    with PeerConnection(address(server.port)) as peer:
        get(peer, chunk_of(FILES["config.json"]))
        server.stop()
        assert threads_beside(before) == 0
        with pytest.raises(PeerUnreachable):
            get(peer, chunk_of(FILES["config.json"]))
    server.stop()


def _ends(raw: socket.socket) -> bool:
    """Whether the server closes the connection (or resets it, having bytes unread)."""
    try:
        return raw.recv(1) == b""
    except ConnectionResetError:
        return True
