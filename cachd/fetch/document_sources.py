"""Those who may have a version's documents, in the order in which they are asked."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from cachd import limits
from cachd.cache.documents import DocumentKind
from cachd.peer.client import PeerConnection
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerError, PeerUnreachable
from cachd.peer.intake import Intake
from registry_core.domain import limits as domain
from registry_core.domain.identifiers import Digest
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin

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


class DocumentSource(Protocol):
    name: str

    def read(self, kind: DocumentKind) -> bytes:
        """The document, unverified. A RegistryError says why not."""
        ...

    def close(self) -> None:
        """End what is under way in other threads, if that can be."""
        ...


@contextmanager
def document_sources(
    digest: Digest, peers: Sequence[PeerAddress], origin: Origin | None, intake: Intake
) -> Iterator[list[DocumentSource]]:
    """A few peers, the origin, and the other peers. Peers in random order, or all nodes would ask
    the same; not all before the origin, since at the start of a rollout none has anything."""
    order = random.sample(list(peers), min(len(peers), limits.PEERS_MAX))
    sources: list[DocumentSource] = [PeerSource(digest, address, intake) for address in order]
    if origin is not None:
        sources.insert(limits.DOCUMENT_PEERS_FIRST, OriginSource(digest, origin, intake))
    try:
        yield sources
    finally:
        for source in sources:
            source.close()


class OriginSource:
    name = "origin"

    def __init__(self, digest: Digest, origin: Origin, intake: Intake) -> None:
        self._digest = digest
        self._origin = origin
        self._intake = intake

    def read(self, kind: DocumentKind) -> bytes:
        data = self._origin.get(_KEY[kind](self._digest), bytes_max=_BYTES_MAX[kind])
        self._intake.take_all(len(data))  # afterwards: nobody knows how long it is before
        return data

    def close(self) -> None:
        """It ends by its own timeouts."""


class PeerSource:
    """One peer, which is asked one thing at a time, and no more after its connection broke.

    From any thread. `_asking` is held while a thread waits for the peer.
    """

    def __init__(self, digest: Digest, address: PeerAddress, intake: Intake) -> None:
        self.name = str(address.node_id)
        self._digest = digest
        self._address = address
        self._intake = intake
        self._asking = threading.Lock()
        self._connection: PeerConnection | None = None
        self._failed = ""
        self._closing = False

    def read(self, kind: DocumentKind) -> bytes:
        if not self._asking.acquire(blocking=False):
            raise PeerUnreachable("it has not answered yet")
        try:
            return self._read(kind)
        finally:
            self._asking.release()
            if self._closing:
                self._drop()

    def _read(self, kind: DocumentKind) -> bytes:
        if self._failed or self._closing:
            raise PeerUnreachable(self._failed or "it is not wanted any more")
        try:
            if self._connection is None:
                self._connection = PeerConnection(self._address, intake=self._intake)
            return self._connection.document(self._digest, kind, bytes_max=_BYTES_MAX[kind])
        except PeerError as error:
            self._failed = str(error) if error.broken else ""
            raise

    def close(self) -> None:
        self._closing = True
        if self._connection is not None:
            self._connection.cut()
        self._drop()

    def _drop(self) -> None:
        """By whoever comes last: the thread that reads, or the one that closes."""
        if self._asking.acquire(blocking=False):
            if self._connection is not None:
                self._connection.close()
            self._asking.release()
