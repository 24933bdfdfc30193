"""Manifest, bundle and hint of a version, from whoever answers first with the right ones.

Manifest and bundle count only if their SHA-256 is the one asked for, so it does not matter who
gives them. The hint is not trusted by anybody: it has to be well formed and to name every chunk,
and a wrong one shows as chunks that fail verification.

The smallest of them, the bundle, is asked of the origin before anybody, so that the connection over
which chunks will come is made while links are quiet. One that is made while other nodes fill them
has long round trips from the start, for which Linux queues little at a time (tcp_tso_autosize and
TCP small queues): 4 segments beside the others' 30, as long as it lasts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from cachd import limits
from cachd.cache.documents import DocumentKind, Documents
from cachd.fetch.document_sources import DocumentSource, OriginSource, document_sources
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
        origin_first = sorted(sources, key=lambda source: not isinstance(source, OriginSource))
        has_bundle, has_manifest = _has_sha256(bundle_sha256), _has_sha256(digest.raw)
        bundle, _ = _first(origin_first, DocumentKind.BUNDLE, has_bundle, digest)
        manifest, giver = _first(sources, DocumentKind.MANIFEST, has_manifest, digest)
        giver_first = sorted(sources, key=lambda source: source is not giver)
        try:
            names_all = _names_all_chunks(Manifest.parse(manifest))
            hint, _ = _first(giver_first, DocumentKind.HINT, names_all, digest)
        except DocumentsUnavailable:
            hint = b""
    return Documents(manifest, bundle, hint)


def _first(
    sources: Sequence[DocumentSource], kind: DocumentKind, check: Check, digest: Digest
) -> tuple[bytes, DocumentSource]:
    """The first document of that kind that passes `check`, and who gave it."""

    def ask(source: DocumentSource) -> Callable[[], tuple[bytes, DocumentSource]]:
        def read() -> tuple[bytes, DocumentSource]:
            data = source.read(kind)
            check(data)
            return data, source

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
