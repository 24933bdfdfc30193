"""A node: start, run, stop. The one task group of the daemon lives here.

Starting needs neither authority nor peers: what the replica says and the cache holds is served.
Order of stopping: the log and the report first, then the goodbye to peers, then fetches, then the
peer server, the local socket, and the replica last. Workers keep serving throughout, and re-attach
to the next run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp
import structlog

from cachd.cache.cache import Cache
from cachd.cache.pace import Pace
from cachd.control.authorities import Authorities
from cachd.control.host_requests import SOCKET_NAME
from cachd.control.limits import VERSIONS_HELD_MAX
from cachd.control.reports import NodeReport
from cachd.listen import Address
from cachd.node.cache_figures import tell_cache
from cachd.node.claims import Claimants
from cachd.node.config import NodeConfig
from cachd.node.control_socket import ControlSocket
from cachd.node.controller import Controller
from cachd.node.finders import Finders
from cachd.node.flip_teller import FlipTeller
from cachd.node.follower import LogFollower
from cachd.node.freshness import Freshness
from cachd.node.host_control import HostControl
from cachd.node.identity import next_incarnation
from cachd.node.local_choices import LocalChoices
from cachd.node.memory_figures import tell_memory
from cachd.node.memory_form import open_form
from cachd.node.memory_keeper import Claims, MemoryKeeper
from cachd.node.origin_book import OriginBook
from cachd.node.peer_book import PeerBook
from cachd.node.priority import prefer_this_thread, stand_behind_other_services
from cachd.node.read_api import ReadApi
from cachd.node.reporter import Reporter
from cachd.node.repository import Repositories
from cachd.node.request_figures import RequestFigures
from cachd.node.residency import Residency
from cachd.node.retention import Retention
from cachd.node.scrubber import Scrubber
from cachd.node.subscriptions import Subscriptions
from cachd.peer.server import PeerServer
from cachd.serve.host import ServingHost
from cachd.service_manager import ServiceManager
from registry_core.domain.identifiers import Digest, RegionName
from registry_core.domain.manifest import Manifest
from registry_core.domain.policy import Policy, Root
from registry_core.errors import NotFound
from registry_core.home import clock_ms
from registry_core.ledger import queries
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.replica import Replica
from registry_core.ledger.store import Reader

_log = structlog.get_logger("cachd.node")


class Node:
    """`start`, then `stop`."""

    def __init__(self, config: NodeConfig, service: ServiceManager | None = None) -> None:
        self._config = config
        self._service = service or ServiceManager()
        self._main: asyncio.Task[None] | None = None
        self._started: asyncio.Future[dict[str, object]] | None = None

    async def start(self) -> dict[str, object]:
        """Begin to serve; what the ready line says. Raises what keeps the node from starting."""
        started: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._started = started
        self._main = asyncio.create_task(self._run(), name="node")
        self._main.add_done_callback(_fail_start(started))
        return await started

    async def stop(self) -> None:
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        _log.info("node stopped")

    async def _run(self) -> None:
        config = self._config
        root = _read_root(config.root_file)
        config.data.mkdir(parents=True, exist_ok=True)
        incarnation = next_incarnation(config.data / "incarnation")
        store = LmdbStore(config.data / "ledger", holder=f"cachd node {config.name}")
        replica = Replica(store, root)
        cache = Cache.open(config.data / "cache", config.cache_quota)
        server = PeerServer(
            cache,
            host=config.listen.host,
            port=config.listen.port,
            trusted=config.trusted,
            incarnation=incarnation,
            bulk=config.bulk,
        )
        _log.info("bulk path", **config.bulk.described())
        try:
            async with aiohttp.ClientSession() as session:
                parts = _Parts(
                    config, replica, cache, server, session, incarnation, self._service
                )  # fmt: skip
                await parts.run(self._ready)
        finally:
            server.stop()
            cache.close()
            replica.close()

    def _ready(self, said: dict[str, object]) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_result(said)


class _Parts:
    """The parts of a running node, wired."""

    def __init__(
        self,
        config: NodeConfig,
        replica: Replica,
        cache: Cache,
        server: PeerServer,
        session: aiohttp.ClientSession,
        incarnation: int,
        service: ServiceManager,
    ) -> None:
        self._config = config
        self._replica = replica
        self._space = cache.space
        self._server = server
        self._incarnation = incarnation
        self._rng = Random(f"{config.name}/{incarnation}")
        authorities = Authorities(config.authority_url)
        self._reporter = Reporter(session, authorities, config.name.text, self._describe)
        self._flips = FlipTeller()
        pace = Pace(config.bulk_share, lambda: self._host.answers_requests)
        self._host = ServingHost(
            config.run,
            grace_s=config.grace.default_s,
            grace_of=config.grace.of,
            rules=lambda model, stage: config.flip_rules.of(model, stage, host=config.name.text),
            on_event=self._flips.on_event,
            service=service,
            allowed=config.allowed,
            on_attach=self._attached,
            on_change=self._changed,
            pinned=self._is_pinned,
        )
        self._memory = MemoryKeeper(
            config.memory,
            open_form(config),
            claims=self._claims,
            let_go=lambda digest: self._host.let_go(str(digest)),
            on_damaged=self._heal,
            on_change=self._reporter.changed,
            clock=time.monotonic,
            rng=self._rng,
            pace=pace,
        )
        self._claimants = Claimants(
            lambda: self._controller, self._host, config.grace, self._memory.age_s
        )
        self._origins = OriginBook(
            config.data / "origin.json", config.authority_url, replica, config.region
        )
        own = Address(server.host, server.port)
        self._finders = Finders(config, own, replica.root.registry)
        self._peer_book = PeerBook(
            config.name, config.region, own, self._reporter.told, self._finders.found
        )
        self._residency = Residency(
            cache,
            self._origins,
            config.name,
            incarnation,
            server.offers,
            zone=config.zone,
            bulk=config.bulk,
            peers=self._peer_book.of,
            policy=self._policy,
            memory=self._memory,
            make_room=self._room_for,
            serving=lambda: self._host.answers_requests,
            pace=pace,
            on_change=self._reporter.changed,
        )
        versions = config.data.absolute() / "cache" / "versions"
        self._repositories = Repositories(config.repositories, versions, self._host.standing)
        self._local = LocalChoices(config.data / "local-choices.json", clock_ms)
        control = HostControl(lambda: self._controller, self._reporter.changed)
        self._control = ControlSocket(config.run / SOCKET_NAME, control.answer, service)
        self._subscriptions = Subscriptions(config.data / "subscriptions.json", config.serve)
        self._retention = Retention(
            cache,
            self._residency,
            wanted=lambda: self._controller.wanted() if self._controller else set(),
            leased=lambda: {Digest.parse(text) for text in self._host.leased_digests()},
            grace_s=config.grace.default_s,
            clock=time.monotonic,
        )
        self._scrubber = Scrubber(
            cache,
            self._residency,
            config.data / "scrub.json",
            period_s=config.scrub_s,
            kept=self._retention.kept,
            on_change=self._reporter.changed,
        )
        freshness = Freshness(config.ttl_s, _age_s(replica))
        sources = Authorities(config.authority_url, config.relays)
        self._follower = LogFollower(
            replica, session, sources, freshness, self._verified, self._applied, self._rng
        )
        self._api = (
            ReadApi(
                replica,
                freshness,
                self._origins,
                config.api,
                config.authority_url,
                self._peer_book.known,
            )
            if config.api is not None
            else None
        )
        if self._api is not None:
            tell_cache(self._api.gauge, cache.space, self._scrubber)
            self._flips.count_at(self._api, self._host.held_back)
            tell_memory(self._api.gauge, self._memory)
            self._api.collect(RequestFigures(self._host))
        self._controller: Controller | None = None

    async def run(self, ready: Callable[[dict[str, object]], None]) -> None:
        """Until cancelled."""
        await self._host.start()
        stand_behind_other_services()
        prefer_this_thread()
        try:
            await self._finders.start()
            async with asyncio.TaskGroup() as group:
                self._controller = Controller(
                    self._replica, self._subscriptions, self._residency, self._host, self._local,
                    group=group, rng=self._rng, region=RegionName.parse(self._config.region),
                )  # fmt: skip
                self._controller.look()
                self._control.start()
                group.create_task(self._follower.run(), name="follower")
                group.create_task(self._reporter.run(), name="reporter")
                group.create_task(self._retention.run(), name="retention")
                group.create_task(self._memory.run(), name="memory")
                group.create_task(self._scrubber.run(), name="scrubber")
                group.create_task(self._repositories.run(), name="repositories")
                self._finders.run(group)
                ready(self._said(await self._api.start() if self._api else ""))
        finally:
            self._control.stop()
            await self._finders.stop()
            if self._api is not None:
                await self._api.stop()
            await self._residency.stop()
            in_use = self._host.has_workers
            await self._host.stop()
            await asyncio.to_thread(self._memory.stop, in_use=in_use)

    def _said(self, api: str) -> dict[str, object]:
        said: dict[str, object] = {
            "ready": "node",
            "name": self._config.name.text,
            "peer": str(Address(self._server.host, self._server.port)),
            "socket": str(self._config.run / "cachd.sock"),
            "control": str(self._config.run / SOCKET_NAME),
        }
        return said | ({"api": api} if api else {})

    def _verified(self, txn: Reader, received_ns: int) -> None:
        if self._controller is not None:
            self._controller.foresee(txn, received_ns)

    def _applied(self, received_ns: int) -> None:
        if self._controller is not None:
            self._controller.look(received_ns)
        if self._api is not None:
            self._api.changed()
        self._reporter.changed()

    def _is_pinned(self, digest: str) -> bool:
        controller = self._controller
        return controller is not None and Digest.parse(digest) in controller.pinned()

    def _claims(self) -> Claims:
        return self._claimants.claims()

    def _changed(self) -> None:
        self._repositories.changed()
        self._reporter.changed()
        self._memory.nudge()

    def _attached(self, model: str, stage: str) -> None:
        if self._controller is not None:
            self._controller.ask(model, stage)

    async def _room_for(self, manifest: Manifest) -> None:
        await self._retention.make_room(manifest)

    async def _heal(self, digest: Digest, damaged: list[str]) -> None:
        await self._residency.heal(digest, damaged)

    def _policy(self) -> Policy:
        with self._replica.read() as txn:
            return queries.policy(txn)

    def _describe(self) -> NodeReport:
        residency = self._residency
        held = residency.resident() | self._host.leased_digests()
        return NodeReport(
            node=self._config.name.text,
            incarnation=self._incarnation,
            region=self._config.region,
            zone=self._config.zone,
            peer=str(Address(self._server.host, self._server.port)),
            log_size=self._replica.size(),
            stages=self._controller.reports() if self._controller else [],
            prefetches=self._controller.prefetches() if self._controller else [],
            followed=self._controller.followed if self._controller else 0,
            bytes_from_origin=residency.bytes_from_origin,
            bytes_from_peers=residency.bytes_from_peers,
            bytes_local=residency.bytes_local,
            bytes_served=self._server.bytes_sent,
            alarm=self._follower.alarm,
            cache_bytes=self._space.used(),
            cache_limit=self._space.limit() or 0,
            chunks_damaged=self._scrubber.state.chunks_damaged,
            memory=self._memory.reports(),
            memory_bytes=self._memory.used(),
            memory_budget=self._memory.budget,
            held=sorted(held)[:VERSIONS_HELD_MAX],
        )


def _fail_start(
    started: asyncio.Future[dict[str, object]],
) -> Callable[[asyncio.Task[None]], None]:
    """If the daemon ends before it is ready, `start` raises what ended it."""

    def ended(task: asyncio.Task[None]) -> None:
        if not started.done() and not task.cancelled():
            error = task.exception()
            started.set_exception(error or RuntimeError("the node ended before it was ready"))

    return ended


def _age_s(replica: Replica) -> float:
    """Of what was applied last, before this start."""
    checkpoint = replica.checkpoint()
    return max(0.0, time.time() - checkpoint.time_ms / 1000) if checkpoint is not None else 0.0


def _read_root(file: Path) -> Root:
    try:
        return Root.parse(file.read_bytes())
    except OSError as error:
        raise NotFound(
            f"the root of trust {file} cannot be read ({error.strerror}): copy root.json from the "
            "registry's directory to this host"
        ) from error
