"""Bringing versions here: documents, signature, chunks, directory, memory. Each version once.

Nothing is used before it is verified: the manifest against the version's identity, the bundle
against the log and the publisher's key, every chunk against its id; after a restart all bytes are
hashed again while they are populated. A version that several stages want is fetched once, and a
fetch that nobody wants any more is cancelled. Owned by the event loop; the work runs in threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from cachd.cache.cache import Cache
from cachd.cache.populate import populate, populate_verified
from cachd.fetch.documents import fetch_documents
from cachd.fetch.executor import Fetcher
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest
from registry_core.domain.policy import PUBLISHER, Policy
from registry_core.errors import IntegrityError
from registry_core.ledger.records import VersionRecord
from registry_core.origin.store import Origin
from registry_core.trust.oms import verify_version

_log = structlog.get_logger("cachd.node")


@dataclass
class Arrival:
    """How far a version is. `bytes_*` count chunks by where they came from."""

    digest: Digest
    state: str = "waiting"
    detail: str = ""
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_from_origin: int = 0
    bytes_from_peers: int = 0
    bytes_local: int = 0


@dataclass
class _Job:
    arrival: Arrival
    cancel: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[Path] | None = None
    waiters: int = 0


class Residency:
    """`peers` and `policy` are asked when needed; `on_change` is called on the event loop."""

    def __init__(
        self,
        cache: Cache,
        fetcher: Fetcher,
        origin: Origin,
        *,
        peers: Callable[[], Sequence[PeerAddress]],
        policy: Callable[[], Policy],
        on_change: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._fetcher = fetcher
        self._origin = origin
        self._peers = peers
        self._policy = policy
        self._on_change = on_change
        self._jobs: dict[Digest, _Job] = {}
        self._resident: dict[Digest, Path] = {}
        self._arrivals: dict[Digest, Arrival] = {}
        self.bytes_from_origin = self.bytes_from_peers = self.bytes_local = 0

    def arrival(self, digest: Digest) -> Arrival:
        """How far the version is, or was when it came."""
        return self._arrivals.get(digest) or Arrival(digest)

    def path_of(self, digest: Digest) -> Path | None:
        """The directory of a version that is verified and populated in this daemon's life."""
        return self._resident.get(digest)

    def forget(self, digest: Digest) -> None:
        """The version was dropped from the cache."""
        self._resident.pop(digest, None)
        self._arrivals.pop(digest, None)

    async def bring(self, version: VersionRecord) -> Path:
        """The version's directory, once all of it is here, verified and in memory."""
        digest = Digest.parse(version.digest)
        if digest in self._resident:
            return self._resident[digest]
        job = self._jobs.get(digest)
        if job is None:
            job = self._jobs[digest] = _Job(self._arrivals.setdefault(digest, Arrival(digest)))
            job.task = asyncio.create_task(self._work(version, job), name=f"bring {digest}")
        if job.task is None:
            raise AssertionError("a job without its task")
        job.waiters += 1
        try:
            return await asyncio.shield(job.task)
        finally:
            job.waiters -= 1
            if job.waiters == 0 and not job.task.done():
                job.cancel.set()

    async def stop(self) -> None:
        """Cancel all work and wait for its threads."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel.set()
        await asyncio.gather(*(job.task for job in jobs if job.task), return_exceptions=True)

    async def _work(self, version: VersionRecord, job: _Job) -> Path:
        loop = asyncio.get_running_loop()

        def tell(state: str) -> None:
            job.arrival.state = state
            loop.call_soon_threadsafe(self._on_change)

        try:
            path = await asyncio.to_thread(self._bring, version, job, tell)
            self._resident[job.arrival.digest] = path
            self._count(job.arrival)
            _log.info("version resident", model=version.model, number=version.number)
            return path
        finally:
            self._jobs.pop(job.arrival.digest, None)
            self._on_change()

    def _count(self, arrival: Arrival) -> None:
        self.bytes_from_origin += arrival.bytes_from_origin
        self.bytes_from_peers += arrival.bytes_from_peers
        self.bytes_local += arrival.bytes_local

    def _bring(self, version: VersionRecord, job: _Job, tell: Callable[[str], None]) -> Path:
        """In a thread: everything from documents to populated memory."""
        manifest, hint = self._verified_documents(version)
        job.arrival.bytes_total = manifest.size
        present = self._cache.version_path(manifest.digest)
        if present is not None:
            tell("verifying")
            damaged = populate_verified(manifest, present)
            if not damaged:
                job.arrival.bytes_done = manifest.size
                return present
            _log.warning("cached version is damaged: fetching again", files=damaged)
            self._cache.drop(manifest.digest)
            self._keep_documents(version, manifest)
        tell("fetching")
        path = self._fetch(manifest, hint, job, tell)
        populate(path)
        return path

    def _fetch(
        self, manifest: Manifest, hint: bytes, job: _Job, tell: Callable[[str], None]
    ) -> Path:
        raise NotImplementedError
