"""Bringing versions here: documents, signature, chunks, directory, memory. Each version once.

Nothing is used before it is verified: the manifest against the version's identity, the bundle
against the log and the publisher's key, every chunk against its id; after a restart all bytes are
hashed again while they are populated. Room is made first, on the disk before a fetch and in memory
before its bytes are brought there. A version that several stages want is fetched once, and a fetch
that nobody wants any more is cancelled. Owned by the event loop; the work runs in threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import structlog

from cachd.cache.cache import Cache
from cachd.cache.documents import Documents
from cachd.cache.errors import CacheNoRoom
from cachd.cache.pace import UNPACED, Pace
from cachd.cache.salvage import salvage
from cachd.control.limits import BRINGS_MAX
from cachd.fetch.documents import fetch_documents
from cachd.fetch.errors import DocumentsUnavailable, FetchCancelled, FetchFailed
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.report import FetchReport, Progress
from cachd.fetch.settings import FetchSettings
from cachd.node.memory_keeper import MemoryKeeper
from cachd.node.origin_book import OriginBook
from cachd.node.priority import bring_bulk_bytes, store_threads
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.directory import PeerAddress
from cachd.peer.intake import Intake
from cachd.peer.offers import Offers
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Manifest
from registry_core.domain.packs import Locations, decode_hint
from registry_core.domain.policy import PUBLISHER, Policy
from registry_core.errors import IntegrityError, InvalidInput, NotFound
from registry_core.ledger.records import VersionRecord
from registry_core.origin.fallback import FallbackOrigin
from registry_core.origin.store import Origin
from registry_core.trust.oms import verify_version

T = TypeVar("T")
_log = structlog.get_logger("cachd.node")
_NOTHING = Progress(0, 0, 0, 0, 0)
_TURNS = 8  # of making room, while other versions take what was made


@dataclass
class Arrival:
    """How far a version is. `bytes_*` count chunks by where they came from."""

    digest: Digest
    model: str = ""
    state: str = "waiting"
    detail: str = ""
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_from_origin: int = 0
    bytes_from_home: int = 0
    bytes_from_peers: int = 0
    bytes_local: int = 0

    def count(self, before: Progress, moved: Progress | FetchReport) -> None:
        """What moved in this try, beside what had in those before it."""
        self.bytes_from_origin = before.bytes_from_origin + moved.bytes_from_origin
        self.bytes_from_peers = before.bytes_from_peers + moved.bytes_from_peers
        self.bytes_local = before.bytes_local + moved.bytes_local


@dataclass
class _Job:
    arrival: Arrival
    loop: asyncio.AbstractEventLoop
    cancel: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[Path] | None = None
    waiters: int = 0
    fetched: bool = False


class Residency:
    """`peers` (of a model), `policy` and `serving` (whether workers answer requests) are asked when
    needed, by any thread; `make_room` and `on_change` are called on the event loop."""

    def __init__(
        self,
        cache: Cache,
        origins: OriginBook,
        node: NodeId,
        incarnation: int,
        offers: Offers,
        *,
        zone: str = "",
        bulk: BulkPath = UNBOUNDED,
        peers: Callable[[str], Sequence[PeerAddress]],
        policy: Callable[[], Policy],
        memory: MemoryKeeper,
        make_room: Callable[[Manifest], Coroutine[None, None, None]],
        serving: Callable[[], bool],
        pace: Pace = UNPACED,
        on_change: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._origins = origins
        self._node = node
        self._incarnation = incarnation
        self._offers = offers
        self._zone = zone
        self._bulk = bulk
        self._peers = peers
        self._policy = policy
        self._memory = memory
        self._make_room = make_room
        self._serving = serving
        self._pace = pace
        self._on_change = on_change
        self._threads = ThreadPoolExecutor(BRINGS_MAX, "bring", bring_bulk_bytes)
        self._jobs: dict[Digest, _Job] = {}
        self._arrivals: dict[Digest, Arrival] = {}
        self._leaving: dict[Digest, asyncio.Event] = {}
        self.bytes_from_origin = self.bytes_from_peers = self.bytes_local = 0

    def arrival(self, digest: Digest) -> Arrival:
        """How far the version is, or was when it came."""
        return self._arrivals.get(digest) or Arrival(digest)

    def path_of(self, digest: Digest) -> Path | None:
        """The directory of a version that is verified and in memory."""
        return self._memory.path_of(digest)

    def on_disk(self, digest: Digest) -> bool:
        """Whether all of it is here, so that it comes without any transfer."""
        return self._cache.published(digest) is not None

    def files_of(self, digest: Digest) -> dict[str, int]:
        """Path within the version -> bytes."""
        manifest = self._cache.versions().get(digest)
        return {file.path: file.size for file in manifest.files} if manifest else {}

    def resident(self) -> set[str]:
        """Digests of all versions that are verified and in memory."""
        return {str(digest) for digest in self._memory.digests()}

    def coming(self) -> set[Digest]:
        """Versions that are being brought right now."""
        return set(self._jobs)

    async def evict(self, digest: Digest, *, gives_way: bool = False) -> None:
        """Drop a version that nobody needs. Whoever wants it meanwhile gets it after that.
        `gives_way`: to one that is about to be brought."""
        self._offers.forget(digest)
        self._arrivals.pop(digest, None)
        if digest in self._leaving:
            await self._leaving[digest].wait()
            return
        gone = self._leaving[digest] = asyncio.Event()
        try:
            await self._memory.release(digest)
            await asyncio.to_thread(self._cache.drop, digest, gives_way=gives_way)
        finally:
            gone.set()
            self._leaving.pop(digest, None)

    async def bring(self, version: VersionRecord) -> Path:
        """The version's directory, once all of it is here, verified and in memory."""
        digest = Digest.parse(version.digest)
        path = self.path_of(digest)
        if path is not None:
            return path
        arrival = self._arrivals.setdefault(digest, Arrival(digest, version.model))
        return await self._join(arrival, lambda job: self._bring(version, job))

    async def mend(self, digest: Digest) -> Path:
        """The same for a version that is here, and has damaged files: what was opened or mapped of
        it stays as it was."""
        return await self._join(Arrival(digest), self._mend_again)

    async def heal(self, digest: Digest, damaged: list[str]) -> None:
        """Files of a version in memory turned out damaged while they were read again."""
        manifest = self._cache.versions().get(digest)
        _log.error("bit rot", digest=str(digest), files=damaged)
        if manifest is not None:
            await asyncio.to_thread(self._cache.condemn_files, manifest, damaged)
            await self.mend(digest)

    async def pause(self, seconds: float) -> None:
        """Before trying again: so long, or until memory is free."""
        await self._memory.pause(seconds)

    async def _join(self, arrival: Arrival, act: Callable[[_Job], Path]) -> Path:
        """Wait for the version's job, which this begins if there is none."""
        digest = arrival.digest
        job = self._jobs.get(digest)
        if job is None:
            job = self._jobs[digest] = _Job(arrival, asyncio.get_running_loop())
            job.task = asyncio.create_task(self._work(job, act), name=f"bring {digest}")
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
        self._threads.shutdown()

    async def _work(self, job: _Job, act: Callable[[_Job], Path]) -> Path:
        digest = job.arrival.digest
        try:
            while (leaving := self._leaving.get(digest)) is not None:
                await leaving.wait()
            path = await job.loop.run_in_executor(self._threads, act, job)
            if job.fetched:
                self._count(job.arrival)
            _log.info("version resident", digest=str(digest))
            return path
        finally:
            self._cache.settle(digest)
            self._memory.settle(digest)
            self._jobs.pop(digest, None)
            self._on_change()

    def _count(self, arrival: Arrival) -> None:
        self.bytes_from_origin += arrival.bytes_from_origin
        self.bytes_from_peers += arrival.bytes_from_peers
        self.bytes_local += arrival.bytes_local

    def _bring(self, version: VersionRecord, job: _Job) -> Path:
        """In a thread: everything from documents to populated memory."""
        digest, arrival = job.arrival.digest, job.arrival
        manifest, documents = self._documents(digest, version, job)
        arrival.bytes_total = manifest.size
        present = self._cache.published(digest)
        if present is not None:
            self._tell(job, "verifying")
            damaged = self._hold(manifest, present, job)
            if not damaged:
                if digest not in self._cache.versions():  # its manifest was lost
                    self._make_ready(manifest, documents, job)
                    self._cache.begin(manifest)
                arrival.bytes_done = manifest.size
                return self._placed(digest)
            _log.warning("cached version is damaged: fetching it again", files=damaged)
            self._cache.condemn_files(manifest, damaged)
            return self._mend(manifest, documents, job)
        self._make_ready(manifest, documents, job)
        self._fetch(manifest, documents, job)
        self._require_sound(manifest, self._cache.publish(manifest), job, fresh=True)
        return self._placed(digest)

    def _hold(self, manifest: Manifest, path: Path, job: _Job, *, fresh: bool = False) -> list[str]:
        """In a thread: all of it in memory, once there is room; the paths that are damaged."""
        model = job.arrival.model
        admitted = self._memory.admit(manifest, model)
        asyncio.run_coroutine_threadsafe(admitted, job.loop).result()
        damaged = self._memory.hold(manifest, path, job.cancel, fresh=fresh)
        if job.cancel.is_set():
            raise FetchCancelled("nobody wants this version any more")
        return damaged

    def _require_sound(
        self, manifest: Manifest, path: Path, job: _Job, *, fresh: bool = False
    ) -> None:
        damaged = self._hold(manifest, path, job, fresh=fresh)
        if damaged:
            self._cache.condemn_files(manifest, damaged)
            raise IntegrityError(f"version {manifest.digest} was damaged again on this disk")

    def _placed(self, digest: Digest) -> Path:
        path = self.path_of(digest)
        if path is None:  # it was evicted in this moment
            raise FetchCancelled("nobody wants this version any more")
        return path

    def _mend_again(self, job: _Job) -> Path:
        """In a thread: a version whose documents were verified when it came."""
        digest = job.arrival.digest
        manifest, documents = self._cache.versions().get(digest), self._cache.documents(digest)
        if manifest is None or documents is None:
            raise NotFound(f"version {digest} is not in the cache any more")
        return self._mend(manifest, documents, job)

    def _mend(self, manifest: Manifest, documents: Documents, job: _Job) -> Path:
        """Sound files take the place of damaged ones, whose sound chunks do not travel again."""
        self._make_ready(manifest, documents, job)
        salvage(self._cache, self._cache.begin(manifest))
        self._fetch(manifest, documents, job)
        self._require_sound(manifest, self._cache.mend(manifest), job)
        return self._placed(manifest.digest)

    def _make_ready(self, manifest: Manifest, documents: Documents, job: _Job) -> None:
        """In a thread: wait until the loop has made room, and keep what describes the version."""
        for turn in range(1, _TURNS + 1):
            asyncio.run_coroutine_threadsafe(self._make_room(manifest), job.loop).result()
            try:
                self._cache.put_documents(
                    manifest.digest, documents.manifest, documents.bundle, documents.hint
                )
                return
            except CacheNoRoom:  # another version took it: make room beside that, or say why not
                if turn == _TURNS:
                    raise

    def _tell(self, job: _Job, state: str) -> None:
        job.arrival.state = state
        job.loop.call_soon_threadsafe(self._on_change)

    def _documents(
        self, digest: Digest, version: VersionRecord, job: _Job
    ) -> tuple[Manifest, Documents]:
        """Manifest, bundle and hint; the bundle's signature covers exactly this manifest."""
        documents = self._cache.documents(digest)
        if documents is None or sha256(documents.bundle).hexdigest() != version.bundle:
            bundle, origin = bytes.fromhex(version.bundle), self._origins.find()
            intake = Intake(self._bulk, job.cancel)
            documents = _from_either(
                origin,
                lambda: fetch_documents(digest, bundle, self._peers(version.model), origin, intake),
            )
        manifest = Manifest.parse(documents.manifest)
        verify_version(documents.bundle, manifest, self._policy().keys_of(PUBLISHER))
        return manifest, documents

    def _locations(self, digest: Digest, documents: Documents, job: _Job) -> Locations:
        """By the hint; by another one, if the disk has spoiled that which was kept."""
        try:
            return decode_hint(documents.hint) if documents.hint else {}
        except InvalidInput:
            bundle = sha256(documents.bundle).digest()
            peers = self._peers(self.arrival(digest).model)
            intake = Intake(self._bulk, job.cancel)
            found = fetch_documents(digest, bundle, peers, self._origins.find(), intake)
            self._cache.put_documents(digest, found.manifest, found.bundle, found.hint)
            return decode_hint(found.hint) if found.hint else {}

    def _fetch(self, manifest: Manifest, documents: Documents, job: _Job) -> None:
        arrival, origin = job.arrival, self._origins.find()
        self._tell(job, "fetching")
        settings = FetchSettings(
            crowd_threads=self._bulk.upload_slots,
            store_threads=store_threads(gently=self._serving()),
        )
        fetcher = Fetcher(
            self._cache, origin, self._node, self._incarnation, settings,
            offers=self._offers, zone=self._zone, bulk=self._bulk, pace=self._pace,
        )  # fmt: skip
        locations = self._locations(manifest.digest, documents, job)
        arrival.count(_NOTHING, _NOTHING)
        job.fetched = True

        def fetch() -> FetchReport:
            before = Progress(
                0, 0, arrival.bytes_from_origin, arrival.bytes_from_peers, arrival.bytes_local
            )

            def on_progress(progress: Progress) -> None:
                arrival.bytes_done = progress.bytes_done
                arrival.count(before, progress)
                self._tell(job, "fetching")

            report = fetcher.fetch(
                manifest, locations, lambda: self._peers(arrival.model), job.cancel, on_progress
            )
            arrival.count(before, report)
            return report

        report = _from_either(origin, fetch)
        if isinstance(origin, FallbackOrigin):
            arrival.bytes_from_home = min(origin.bytes_from_second, arrival.bytes_from_origin)
        for complaint in report.complaints:
            _log.warning("source complained of", complaint=str(complaint))


def _from_either(origin: Origin | None, fetch: Callable[[], T]) -> T:
    """`fetch`; once more from the home region's origin alone, if what this region's origin gives is
    not what it should be."""
    try:
        return fetch()
    except (DocumentsUnavailable, FetchFailed) as error:
        if not isinstance(origin, FallbackOrigin) or not origin.give_up():
            raise
        _log.warning("going on with the home region's origin", url=origin.url, error=str(error))
        return fetch()
