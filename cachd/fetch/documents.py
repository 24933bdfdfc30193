"""Manifest, bundle and hint of a version, from whoever answers first with the right ones.

Manifest and bundle count only if their SHA-256 is the one asked for, so it does not matter who
gives them. The hint is not trusted by anybody: it has to be well formed and to name every chunk,
and a wrong one shows as chunks that fail verification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cachd import limits
from cachd.cache.documents import DocumentKind, Documents
from cachd.fetch.document_sources import DocumentSource, document_sources
from cachd.fetch.errors import DocumentsUnavailable
from cachd.fetch.staggered import NobodyAnswered, first_answer
from cachd.peer.directory import PeerAddress
from cachd.peer.intake import Intake
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import decode_hint
from registry_core.errors import IntegrityError, InvalidInput
from registry_core.origin.store import Origin

Check = Callable[[bytes], None]


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
    with document_sources(digest, peers, origin, intake or Intake()) as sources:
        manifest = _first(sources, DocumentKind.MANIFEST, _has_sha256(digest.raw), digest)
        bundle = _first(sources, DocumentKind.BUNDLE, _has_sha256(bundle_sha256), digest)
        try:
            names_all = _names_all_chunks(Manifest.parse(manifest))
            hint = _first(sources, DocumentKind.HINT, names_all, digest)
        except DocumentsUnavailable:
            hint = b""
    return Documents(manifest, bundle, hint)


def _first(
    sources: Sequence[DocumentSource], kind: DocumentKind, check: Check, digest: Digest
) -> bytes:
    """The first document of that kind that passes `check`."""

    def ask(source: DocumentSource) -> Callable[[], bytes]:
        def read() -> bytes:
            data = source.read(kind)
            check(data)
            return data

        return read

    try:
        asked = [(source.name, ask(source)) for source in sources]
        return first_answer(asked, limits.DOCUMENT_STAGGER_S)
    except NobodyAnswered as error:
        why = str(error) or "there are neither peers nor an origin"
        raise DocumentsUnavailable(
            f"version {digest}: no source has its {kind.name.lower()} ({why}). Push the version "
            "again, or start a peer that has it"
        ) from None


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
