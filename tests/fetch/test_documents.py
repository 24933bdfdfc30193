"""Manifest, bundle and hint: from whoever has the right ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.fetch.documents import fetch_documents
from cachd.fetch.errors import DocumentsUnavailable
from cachd.peer.server import PeerServer
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import encode_hint
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin
from tests.cache.test_cache import FILES
from tests.cache.versions import make_version
from tests.fetch.rig import node, put_packs
from tests.peer.rig import address

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
