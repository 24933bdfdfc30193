"""Manifest, bundle and hint: from whoever has the right ones."""

from __future__ import annotations

import hashlib
import socket
import time
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.documents import DocumentKind
from cachd.fetch.documents import fetch_documents
from cachd.fetch.errors import DocumentsUnavailable
from cachd.fetch.staggered import first_answer
from cachd.peer.protocol import GetDocument, Request, Status, encode_response_header
from cachd.peer.server import PeerServer
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import encode_hint
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin
from tests.cache.test_cache import FILES
from tests.cache.versions import make_version
from tests.fetch.rig import node, put_packs, served
from tests.peer.rig import address, greet, read_request, scripted_peer

BUNDLE = b'{"a bundle": 1}'
BUNDLE_SHA256 = hashlib.sha256(BUNDLE).digest()


def prepared(root: Path) -> tuple[Origin, Manifest, bytes]:
    """An origin with the version's documents; the manifest and the hint."""
    origin = Origin.open(f"file://{root}")
    manifest, chunks = make_version(FILES)
    hint = encode_hint(put_packs(origin, manifest, chunks))
    origin.put(manifest_key(manifest.digest), manifest.encoded)
    origin.put(bundle_key(manifest.digest), BUNDLE)
    origin.put(hint_key(manifest.digest), hint)
    return origin, manifest, hint


def test_from_the_origin(tmp_path: Path) -> None:
    origin, manifest, hint = prepared(tmp_path / "origin")
    found = fetch_documents(manifest.digest, BUNDLE_SHA256, [], origin)
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, BUNDLE, hint)


def test_from_a_peer_without_any_origin(tmp_path: Path) -> None:
    _, manifest, hint = prepared(tmp_path / "origin")
    with node(tmp_path / "a", None) as peer:
        peer.cache.put_documents(manifest.digest, manifest.encoded, BUNDLE, hint)
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, [address(1), peer.address], None)
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, BUNDLE, hint)


def test_a_peer_with_other_documents_is_passed_over(tmp_path: Path) -> None:
    origin, manifest, hint = prepared(tmp_path / "origin")
    with node(tmp_path / "a", None) as peer:
        peer.cache.put_documents(manifest.digest, manifest.encoded, b"another bundle", b"no hint")
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, [peer.address], origin)
        assert (found.bundle, found.hint) == (BUNDLE, hint)
        with pytest.raises(DocumentsUnavailable, match=r"bundle.*a: wrong document"):
            fetch_documents(manifest.digest, BUNDLE_SHA256, [peer.address], None)


@pytest.mark.parametrize("key", [manifest_key, bundle_key])
def test_a_flipped_bit_is_refused(tmp_path: Path, key: object) -> None:
    origin, manifest, _ = prepared(tmp_path / "origin")
    path = tmp_path / "origin" / key(manifest.digest)  # type: ignore[operator]  # a key function
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DocumentsUnavailable, match="origin: wrong document"):
        fetch_documents(manifest.digest, BUNDLE_SHA256, [], origin)


def test_a_lost_hint_is_no_failure(tmp_path: Path) -> None:
    origin, manifest, _ = prepared(tmp_path / "origin")
    origin.delete(hint_key(manifest.digest))
    assert fetch_documents(manifest.digest, BUNDLE_SHA256, [], origin).hint == b""


def web_server(root: Path, asked: list[str]) -> AbstractContextManager[Origin]:
    """An origin over HTTP, which notes what it is asked for."""

    class Noted(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.lstrip("/"))
            super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return served(partial(Noted, directory=str(root)))


def test_the_origin_is_asked_for_the_bundle_at_once_and_for_no_more_than_peers_lack(
    tmp_path: Path,
) -> None:
    _, manifest, hint = prepared(tmp_path / "origin")
    asked: list[str] = []
    with web_server(tmp_path / "origin", asked) as origin, node(tmp_path / "a", None) as peer:
        peer.cache.put_documents(manifest.digest, manifest.encoded, BUNDLE, hint)
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, [peer.address], origin)
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, BUNDLE, hint)
    assert asked == [bundle_key(manifest.digest)]


def test_who_gave_the_manifest_is_asked_for_the_hint_first(tmp_path: Path) -> None:
    origin, manifest, hint = prepared(tmp_path / "origin")
    requests: list[Request] = []

    def has_nothing(connection: socket.socket) -> None:
        greet(connection)
        while True:
            requests.append(read_request(connection))
            connection.sendall(encode_response_header(Status.NOT_FOUND, 0))

    with scripted_peer(has_nothing) as peer:
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, [peer], origin)
    assert found.hint == hint
    assert requests == [GetDocument(manifest.digest, DocumentKind.MANIFEST)]


def silent(connection: socket.socket) -> None:
    """Greets, takes any request, and says no more."""
    greet(connection)
    while connection.recv(1024):
        pass


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """Eight such peers, and a host that takes connections without ever greeting."""
    origin, manifest, hint = prepared(tmp_path / "origin")
    with ExitStack() as peers:
        silents = [peers.enter_context(scripted_peer(silent)) for _ in range(8)]
        mute = peers.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses = [*silents, address(mute.getsockname()[1])]
        began_s = time.monotonic()
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, addresses, origin)
        assert time.monotonic() - began_s < limits.RECEIVE_TIMEOUT_S
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, BUNDLE, hint)


def test_a_peer_behind_many_silent_ones_is_found(tmp_path: Path) -> None:
    _, manifest, hint = prepared(tmp_path / "origin")
    with ExitStack() as peers:
        silents = [peers.enter_context(scripted_peer(silent)) for _ in range(5)]
        good = peers.enter_context(node(tmp_path / "a", None))
        good.cache.put_documents(manifest.digest, manifest.encoded, BUNDLE, hint)
        addresses = [*silents, good.address]
        found = fetch_documents(manifest.digest, BUNDLE_SHA256, addresses, None)
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, BUNDLE, hint)


def test_an_error_of_our_own_is_no_answer() -> None:
    """It would be hidden otherwise."""

    def broken() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        first_answer([("a", broken)], 0.1)


def test_nobody_has_them(tmp_path: Path) -> None:
    _, manifest, _ = prepared(tmp_path / "origin")
    with pytest.raises(DocumentsUnavailable, match="neither peers nor an origin"):
        fetch_documents(manifest.digest, BUNDLE_SHA256, [], None)
    with (
        Cache.open(tmp_path / "empty") as cache,
        PeerServer(cache, incarnation=1) as server,
        pytest.raises(DocumentsUnavailable, match="does not have it"),
    ):
        fetch_documents(manifest.digest, BUNDLE_SHA256, [address(server.port)], None)
