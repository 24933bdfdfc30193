"""Reads answered from the replica, and the log relayed from it.

What an authority answers to reads, a node answers as well, without asking anybody: as of the moment
that the header `Age` (RFC 9111, seconds) gives. Beyond the node's TTL it answers on and says
`Cachd-Stale: 1`. A reader who needs it fresher says so (`Cache-Control: max-age=5`) and gets 504
where that cannot be had. Changes are refused: they go to an authority.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from prometheus_client.registry import Collector

from cachd.api.application import make_application
from cachd.api.approvals import ApprovalsApi
from cachd.api.audit import AuditApi
from cachd.api.events import EventsApi
from cachd.api.log import LogApi
from cachd.api.log_stream import RelayedLog
from cachd.api.log_watch import LogWatch
from cachd.api.metadata import MetadataApi
from cachd.api.metrics import Metrics
from cachd.api.middleware import Handler, problem_response
from cachd.api.models import ModelsApi
from cachd.api.operations import Operation
from cachd.api.recovery import EpochApi
from cachd.api.regions import RegionsApi
from cachd.api.registry import RegistryApi
from cachd.api.stages import StagesApi
from cachd.api.writes import Writes
from cachd.control.problems import NotFreshEnough, ReadOnly
from cachd.listen import Address
from cachd.node.freshness import Freshness
from cachd.node.origin_book import OriginBook
from cachd.node.peer_book import KnownPeer
from cachd.node.peers_api import PeersApi
from registry_core.embedded.control import EmbeddedControl
from registry_core.home import clock_ms
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.replica import Replica

_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
_SHUTDOWN_S = 2.0


class ReadApi:
    """`start`, then `stop`. `changed` wakes those who follow the log here."""

    def __init__(
        self,
        replica: Replica,
        freshness: Freshness,
        origins: OriginBook,
        listen: Address,
        authority_url: str,
        peers: Callable[[], list[KnownPeer]],
    ) -> None:
        ledger = Ledger(replica.store, replica.root, None, clock_ms)
        control = EmbeddedControl(ledger, replica.root, None, None)
        self._freshness = freshness
        self._listen = listen
        self._authority_url = authority_url
        self._watch = LogWatch()
        self._writes = Writes(self._watch)
        self._metrics = Metrics(ledger)
        self._metrics.gauge(
            "cachd_replica_age_seconds", "Since the replica is known to have been complete",
            freshness.age_s,
        )  # fmt: skip
        apis = (
            RegistryApi(control, origins.place),
            ModelsApi(control, self._writes),
            MetadataApi(control, self._writes),
            StagesApi(control, self._writes),
            ApprovalsApi(control, self._writes),
            AuditApi(control),
            EpochApi(control, self._writes),
            RegionsApi(control, self._writes),
            LogApi(RelayedLog(ledger, freshness.age_ms), self._watch),
            EventsApi(ledger, replica.root.registry, self._watch, self._writes),
            PeersApi(peers),
        )
        self._operations = [one for api in apis for one in api.operations() if _reads_the_log(one)]
        self._runner: web.AppRunner | None = None

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Tell one more figure at /metrics."""
        self._metrics.gauge(name, meaning, read)

    def counter(self, name: str, meaning: str, label: str) -> Callable[[str], None]:
        return self._metrics.counter(name, meaning, label)

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float]
    ) -> Callable[[float], None]:
        return self._metrics.histogram(name, meaning, buckets)

    def collect(self, collector: Collector) -> None:
        """Tell what `collector` has at /metrics, too."""
        self._metrics.collect(collector)

    async def start(self) -> str:
        """Serve; the URL."""
        app = make_application(self._operations, self._metrics, self._not_ready, self._aged())
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_SHUTDOWN_S, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._listen.host, self._listen.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        self._watch.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._writes.close()

    def changed(self) -> None:
        self._watch.notify()

    def _not_ready(self) -> str:
        return "" if self._freshness.ever else "has heard of no authority yet"

    def _aged(self) -> Any:
        @web.middleware
        async def aged(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method not in ("GET", "HEAD"):
                return problem_response(
                    ReadOnly(f"this is a node, which only reads: ask {self._authority_url}")
                )
            age_s = self._freshness.age_s()
            asked = _MAX_AGE.search(request.headers.get("Cache-Control", ""))
            if asked is not None and age_s > int(asked[1]):
                return problem_response(
                    NotFreshEnough(f"this replica is {age_s:.0f} s old: ask {self._authority_url}")
                )
            answer = await handler(request)
            if not answer.prepared:
                answer.headers["Age"] = str(int(age_s))
                if self._freshness.stale:
                    answer.headers["Cachd-Stale"] = "1"
            return answer

        return aged


def _reads_the_log(operation: Operation) -> bool:
    """Consumers are an authority's own state; everything else that reads is in the replica."""
    return operation.method == "GET" and not operation.path.startswith("/v1/consumers")
