"""What a daemon tells Prometheus, at `GET /metrics`.

Names follow shared conventions: OpenTelemetry's for HTTP, the prefix `cachd_` for our own; labels
have few values (a route is its template, never a path). Event loop only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from registry_core.errors import RegistryError
from registry_core.ledger.ledger import Ledger

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of one daemon; gauges are read when they are asked for."""

    def __init__(self, ledger: Ledger) -> None:
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
        self.streams = Gauge(
            "cachd_streams", "Streams of the log and of events that are open",
            registry=self._registry,
        )  # fmt: skip
        build = Gauge("cachd_build_info", "Always 1", ["version"], registry=self._registry)
        build.labels(package_version("cachd")).set(1)
        self.gauge("cachd_log_entries", "Entries in the log", ledger.size)

    def counter(self, name: str, meaning: str, label: str) -> Callable[[str], None]:
        """What counts one more of a value of `label`."""
        made = Counter(name, meaning, [label], registry=self._registry)
        return lambda value: made.labels(value).inc()

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float]
    ) -> Callable[[float], None]:
        """What takes in one more observation."""
        return Histogram(name, meaning, buckets=buckets, registry=self._registry).observe

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A figure that `read` gives; NaN where it raises a RegistryError."""
        Gauge(name, meaning, registry=self._registry).set_function(lambda: _or_nan(read))

    def collect(self, collector: Collector) -> None:
        """Tell what it has, whenever it is asked."""
        self._registry.register(collector)

    def observe(self, method: str, route: str, status: int, began_s: float) -> None:
        taken_s = time.perf_counter() - began_s
        self._duration.labels(method, route, str(status)).observe(taken_s)

    async def serve(self, _: web.Request) -> web.Response:
        text = generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _or_nan(read: Callable[[], float]) -> float:
    try:
        return read()
    except RegistryError:
        return float("nan")  # a scrape tells the rest all the same
