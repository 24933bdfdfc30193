"""A file origin with packs, and nodes: a cache, a peer server and a fetcher each."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from blake3 import blake3

from cachd.cache.cache import Cache
from cachd.cache.pace import UNPACED, Pace
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.report import FetchReport
from cachd.fetch.settings import FetchSettings
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.directory import PeerAddress
from cachd.peer.server import PeerServer
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Location, PackName, pack_trailer, plan_packs
from registry_core.origin.layout import pack_key
from registry_core.origin.patience import PATIENT, Patience
from registry_core.origin.store import Origin
from tests.cache.versions import Chunks

SETTINGS = FetchSettings(
    progress_s=0.05,
    first_contact_s=0.2,
    expected_s=0.5,
    claim_timeout_s=1.0,
    stall_timeout_s=4.0,
    backoff_first_s=0.02,
    backoff_max_s=0.2,
)


def put_packs(origin: Origin | None, manifest: Manifest, chunks: Chunks) -> dict[ChunkId, Location]:
    """Store the version's chunks as a push does; where each lies. None: only tell where."""
    locations = {}
    for group in plan_packs(manifest.unique_chunks.values()):
        data = b"".join(chunks[chunk.id] for chunk in group) + pack_trailer(group)
        name = PackName(blake3(data).digest())
        if origin is not None:
            origin.put(pack_key(name), data)
        offset = 0
        for chunk in group:
            locations[chunk.id] = Location(name, offset, chunk.length)
            offset += chunk.length
    return locations


@contextmanager
def served(
    handler: Callable[..., BaseHTTPRequestHandler], patience: Patience = PATIENT
) -> Iterator[Origin]:
    """An origin over HTTP, as `handler` answers for it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            yield Origin.open(url, {"allow_http": "true"}, patience)
        finally:
            server.shutdown()
            thread.join()


def pack_file(root: Path, place: Location) -> Path:
    """The file of a pack in a file origin."""
    return root / pack_key(place.pack)


@dataclass
class Node:
    name: str
    cache: Cache
    server: PeerServer
    fetcher: Fetcher

    @property
    def address(self) -> PeerAddress:
        return PeerAddress(NodeId(self.name), "127.0.0.1", self.server.port)

    def fetch(
        self,
        manifest: Manifest,
        locations: dict[ChunkId, Location],
        peers: Sequence[PeerAddress] = (),
    ) -> FetchReport:
        return self.fetcher.fetch(manifest, locations, lambda: peers)


@contextmanager
def node(
    root: Path,
    origin: Origin | None,
    settings: FetchSettings = SETTINGS,
    *,
    bulk: BulkPath = UNBOUNDED,
    pace: Pace = UNPACED,
) -> Iterator[Node]:
    """A node named as its folder."""
    with Cache.open(root) as cache, PeerServer(cache, incarnation=1, bulk=bulk) as server:
        fetcher = Fetcher(
            cache, origin, NodeId(root.name), 1, settings, server.offers, bulk=bulk, pace=pace
        )
        yield Node(root.name, cache, server, fetcher)


@contextmanager
def nodes(root: Path, origin: Origin | None, names: Sequence[str]) -> Iterator[list[Node]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(node(root / name, origin)) for name in names]
