"""The authority: open the ledger for writing, serve the control API, stop cleanly.

Order of stopping: /readyz says no for `drain_s`, log streams end, no new connections, running
requests end, the ledger is closed last, so that what was acknowledged is committed. A kill -9 at
any point loses nothing that was acknowledged: the next start opens the last durable commit.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog
from aiohttp import web

import registry_core
from cachd.api.application import make_application
from cachd.api.approvals import ApprovalsApi
from cachd.api.audit import AuditApi
from cachd.api.events import EventsApi
from cachd.api.log import LogApi
from cachd.api.log_stream import OwnLog
from cachd.api.log_watch import LogWatch
from cachd.api.metadata import MetadataApi
from cachd.api.metrics import Metrics
from cachd.api.models import ModelsApi
from cachd.api.recovery import EpochApi
from cachd.api.regions import RegionsApi
from cachd.api.registry import RegistryApi
from cachd.api.stages import StagesApi
from cachd.api.writes import Writes
from cachd.authority.api.backup import BackupApi
from cachd.authority.api.fleet import FleetApi
from cachd.authority.api.garbage import GarbageApi
from cachd.authority.api.webhooks import WebhooksApi
from cachd.authority.backup import ContinuousBackup
from cachd.authority.delivery.delivery import Delivery
from cachd.authority.delivery.settings import DeliverySettings, NatsSettings
from cachd.authority.fleet import Fleet
from cachd.authority.gc_runs import GcRuns
from cachd.control.limits import CHECKPOINT_IDLE_S, EXCHANGE_S
from cachd.listen import Address
from registry_core.backup.writer import BackupWriter
from registry_core.embedded.control import EmbeddedControl
from registry_core.home import RegistryHome, clock_ms

_log = structlog.get_logger("cachd.authority")
_SHUTDOWN_S = 5.0


class Authority:
    """`start`, then `stop`. `url` is where it serves."""

    def __init__(
        self,
        home: Path,
        listen: Address,
        *,
        drain_s: float = 0.0,
        backup: bool = True,
        delivery: DeliverySettings | None = None,
        nats: NatsSettings | None = None,
    ) -> None:
        self._listen = listen
        self._drain_s = drain_s
        self._draining = False
        config = RegistryHome.load(home)
        self._registry = registry_core.open(home, holder="cachd authority")
        control = self._registry.control
        if not isinstance(control, EmbeddedControl):
            raise TypeError(control)
        self._ledger = control.ledger
        self._watch = LogWatch()
        self._writes = Writes(self._watch)
        fleet = self._fleet = Fleet(clock_ms)
        self._metrics = Metrics(control.ledger)
        self._gc = GcRuns(control, self._registry.origin, fleet.held, self._watch)
        self._backup = ContinuousBackup(
            BackupWriter(control.ledger, control.root(), self._registry.origin),
            self._watch,
            wanted=backup,
        )
        self._add_gauges()
        self._delivery = Delivery(
            control.ledger, config.registry, self._watch, delivery or DeliverySettings(),
            self._metrics.counter(
                "cachd_webhook_attempts_total", "Requests to webhooks, by what came of them",
                "outcome",
            ),
            nats,
        )  # fmt: skip
        self._apis = (
            RegistryApi(control, lambda: (control.origin_url(), dict(config.origin_options))),
            ModelsApi(control, self._writes),
            MetadataApi(control, self._writes),
            StagesApi(control, self._writes),
            ApprovalsApi(control, self._writes),
            FleetApi(control, fleet),
            LogApi(OwnLog(control.ledger), self._watch),
            GarbageApi(control, self._gc, self._writes),
            AuditApi(control),
            EpochApi(control, self._writes),
            RegionsApi(control, self._writes),
            BackupApi(self._backup),
            EventsApi(control.ledger, config.registry, self._watch, self._writes),
            WebhooksApi(control.ledger, self._delivery, self._writes),
        )
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.url = ""

    async def start(self) -> dict[str, object]:
        """Begin to serve; what the ready line says."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            shutdown_timeout=_SHUTDOWN_S,
            handler_cancellation=True,  # frees the log stream of a node that has gone
        )
        await runner.setup()
        site = web.TCPSite(runner, self._listen.host, self._listen.port)
        await site.start()
        self._runner = runner
        self._tasks = [asyncio.create_task(self._sign_when_idle(), name="idle-checkpoints")]
        self._tasks.append(asyncio.create_task(self._delivery.run(), name="delivery"))
        self._tasks.append(asyncio.create_task(self._backup.run(), name="backup"))
        if self._ledger.store.shared:
            self._tasks.append(asyncio.create_task(self._watch.poll(self._ledger), name="log-poll"))
            self._tasks.append(asyncio.create_task(self._exchange(), name="exchange-reports"))
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        _log.info("authority serves", url=self.url)
        return {"ready": "authority", "url": self.url}

    async def stop(self) -> None:
        self._draining = True
        await asyncio.sleep(self._drain_s)  # load balancers look at /readyz and go elsewhere
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._backup.finish()
        await asyncio.to_thread(self._gc.close)
        self._watch.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._delivery.close()
        self._writes.close()
        self._registry.close()
        _log.info("authority stopped")

    def _add_gauges(self) -> None:
        gauge, fleet = self._metrics.gauge, self._fleet
        gauge("cachd_nodes", "Nodes heard of lately", fleet.count)
        gauge(
            "cachd_nodes_ahead", "Nodes that hold more of the log than there is here",
            lambda: fleet.count_beyond(self._ledger.size()),
        )  # fmt: skip
        gauge(
            "cachd_backup_lag_seconds", "Age of the oldest entry that is not backed up",
            self._backup.lag_s,
        )  # fmt: skip

    def _application(self) -> web.Application:
        operations = [one for api in self._apis for one in api.operations()]
        return make_application(operations, self._metrics, self._not_ready)

    def _not_ready(self) -> str:
        """Nothing if the ledger can be read and this is not about to stop."""
        if self._draining:
            return "draining"
        with self._ledger.read():
            return ""

    async def _exchange(self) -> None:
        """What nodes report to one authority, all of them know."""
        while True:
            await asyncio.sleep(EXCHANGE_S)
            try:
                await asyncio.to_thread(self._fleet.exchange, self._ledger.store)
            except registry_core.RegistryError as error:
                _log.warning("reports were not exchanged", error=str(error))

    async def _sign_when_idle(self) -> None:
        """A fresh checkpoint each idle minute tells nodes that silence is not staleness."""
        while True:
            seen = self._watch.count
            try:
                async with asyncio.timeout(CHECKPOINT_IDLE_S):
                    await self._watch.wait(seen)
            except TimeoutError:
                try:
                    await asyncio.to_thread(self._ledger.refresh_checkpoint)
                except registry_core.RegistryError as error:
                    _log.warning("no fresh checkpoint", error=str(error))
                self._watch.notify()
