"""Manifest, bundle and hint of a version: from peers first, from the origin next.

Manifest and bundle count only if their SHA-256 is the one asked for, so it does not matter who
gives them. The hint is not trusted by anybody: it has to be well formed and to name every chunk,
and a wrong one shows as chunks that fail verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from cachd import limits
from cachd.cache.documents import DocumentKind, Documents
from cachd.fetch.errors import DocumentsUnavailable
from cachd.peer.client import PeerConnection
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerError, PeerUnreachable
from cachd.peer.intake import Intake
from registry_core.domain import limits as domain
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.errors import IntegrityError, InvalidInput, RegistryError
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin

Read = Callable[[DocumentKind], bytes]
Check = Callable[[bytes], None]

_BYTES_MAX = {
    DocumentKind.MANIFEST: domain.MANIFEST_MAX,
    DocumentKind.BUNDLE: domain.BUNDLE_MAX,
    DocumentKind.HINT: domain.HINT_MAX,
}
_KEY = {
    DocumentKind.MANIFEST: manifest_key,
    DocumentKind.BUNDLE: bundle_key,
    DocumentKind.HINT: hint_key,
}


def fetch_documents(
    digest: Digest,
    bundle_sha256: bytes,
    peers: Sequence[PeerAddress],
    origin: Origin | None,
    intake: Intake | None = None,
) -> Documents:
    """The documents of a version, through `intake`. `hint` is empty if nobody has a usable one.

    DocumentsUnavailable says what was wrong with each source.
    """
    with ExitStack() as opened:
        sources = list(_sources(digest, peers, origin, intake or Intake(), opened))
        manifest = _first(sources, DocumentKind.MANIFEST, _has_sha256(digest.raw), digest)
        bundle = _first(sources, DocumentKind.BUNDLE, _has_sha256(bundle_sha256), digest)
        try:
            names_all = _names_all_chunks(Manifest.parse(manifest))
            hint = _first(sources, DocumentKind.HINT, names_all, digest)
        except DocumentsUnavailable:
            hint = b""
    return Documents(manifest, bundle, hint)


def _sources(
    digest: Digest,
    peers: Sequence[PeerAddress],
    origin: Origin | None,
    intake: Intake,
    opened: ExitStack,
) -> Iterator[tuple[str, Read]]:
    for address in peers[: limits.PEERS_MAX]:
        yield str(address.node_id), _peer_reader(digest, address, intake, opened)
    if origin is not None:
        yield "origin", _origin_reader(digest, origin, intake)


def _origin_reader(digest: Digest, origin: Origin, intake: Intake) -> Read:
    def read(kind: DocumentKind) -> bytes:
        data = origin.get(_KEY[kind](digest), bytes_max=_BYTES_MAX[kind])
        intake.take_all(len(data))  # afterwards: nobody knows how long it is before
        return data

    return read


def _peer_reader(digest: Digest, address: PeerAddress, intake: Intake, opened: ExitStack) -> Read:
    """Reads from one peer, which is asked no more after its connection broke."""
    connection: PeerConnection | None = None
    failed = ""

    def read(kind: DocumentKind) -> bytes:
        nonlocal connection, failed
        if failed:
            raise PeerUnreachable(failed)
        try:
            if connection is None:
                connection = opened.enter_context(PeerConnection(address, intake=intake))
            return connection.document(digest, kind, bytes_max=_BYTES_MAX[kind])
        except PeerError as error:
            failed = str(error) if error.broken else ""
            raise

    return read


def _first(
    sources: Sequence[tuple[str, Read]], kind: DocumentKind, check: Check, digest: Digest
) -> bytes:
    """The first document of that kind that passes `check`."""
    reasons = []
    for name, read in sources:
        try:
            data = read(kind)
            check(data)
            return data
        except RegistryError as error:
            reasons.append(f"{name}: {error}")
    why = "; ".join(reasons) or "there are neither peers nor an origin"
    raise DocumentsUnavailable(
        f"version {digest}: no source has its {kind.name.lower()} ({why}). Push the version again, "
        "or start a peer that has it"
    )


def _has_sha256(expected: bytes) -> Check:
    def check(data: bytes) -> None:
        actual = hashlib.sha256(data).digest()
        if actual != expected:
            raise IntegrityError(
                "wrong document",
                expected=f"sha256:{expected.hex()}",
                actual=f"sha256:{actual.hex()}",
            )

    return check


def _names_all_chunks(manifest: Manifest) -> Check:
    def check(data: bytes) -> None:
        if not manifest.unique_chunks.keys() <= decode_hint(data).keys():
            raise InvalidInput("the hint does not name all chunks")

    return check
