"""What the authority tells Prometheus, at `GET /metrics`.

Names follow shared conventions: OpenTelemetry's for HTTP, the prefix `cachd_` for our own; labels
have few values (a route is its template, never a path). Event loop only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version as package_version

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cachd.authority.backup import ContinuousBackup
from cachd.authority.fleet import Fleet
from registry_core.errors import RegistryError
from registry_core.ledger import log
from registry_core.ledger.ledger import Ledger

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of one authority; gauges are read when they are asked for."""

    def __init__(self, ledger: Ledger, fleet: Fleet) -> None:
        self._registry = CollectorRegistry()
        self._duration = Histogram(
            "http_server_request_duration_seconds",
            "Time from a request's head to the end of its answer; streams are not counted",
            ["http_request_method", "http_route", "http_response_status_code"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self.refused = Counter(
            "cachd_requests_refused_total",
            "Requests refused before they were looked at",
            ["reason"],
            registry=self._registry,
        )
        build = Gauge("cachd_build_info", "Always 1", ["version"], registry=self._registry)
        build.labels(package_version("cachd")).set(1)
        self._gauge(
            "cachd_log_entries", "Entries in the log", lambda: _or_nan(lambda: _entries(ledger))
        )
        self._gauge("cachd_nodes", "Nodes heard of lately", fleet.count)
        self._gauge(
            "cachd_nodes_ahead", "Nodes that hold more of the log than there is here",
            lambda: _or_nan(lambda: fleet.count_beyond(int(_entries(ledger)))),
        )  # fmt: skip

    def watch_backup(self, backup: ContinuousBackup) -> None:
        self._gauge(
            "cachd_backup_lag_seconds", "Age of the oldest entry that is not backed up",
            lambda: _or_nan(backup.lag_s),
        )  # fmt: skip

    def observe(self, method: str, route: str, status: int, began_s: float) -> None:
        taken_s = time.perf_counter() - began_s
        self._duration.labels(method, route, str(status)).observe(taken_s)

    async def serve(self, _: web.Request) -> web.Response:
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self._registry).set_function(read)


def _entries(ledger: Ledger) -> float:
    with ledger.read() as txn:
        return log.log_size(txn)


def _or_nan(read: Callable[[], float]) -> float:
    try:
        return read()
    except RegistryError:
        return float("nan")  # a scrape tells the rest all the same
