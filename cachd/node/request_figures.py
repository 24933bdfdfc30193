"""Requests by version, as this host's workers observed them: for reports and for Prometheus.

The rollout controller's gates read the same. Counters begin anew with the daemon. Event loop only.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cachd.control.reports import RequestsBody
from cachd.serve.host import ServingHost
from cachd.serve.latency import BOUNDS_US
from cachd.serve.request_counts import VersionCounts
from registry_core.domain.identifiers import StageRef

_LABELS = ["model", "stage", "version"]


def requests_told(host: ServingHost, ref: StageRef) -> list[RequestsBody]:
    """By version, in the order of their numbers."""
    found = sorted(host.requests(ref.model.text, ref.stage.text), key=lambda one: one.number)
    return [
        RequestsBody(
            counts.number, counts.digest, counts.requests, counts.failed, counts.us / 1e6,
            counts.quantile_ms(0.5) or 0.0, counts.quantile_ms(0.95) or 0.0, list(counts.buckets),
        )
        for counts in found
    ]  # fmt: skip


class RequestFigures(Collector):
    """Read at each scrape."""

    def __init__(self, host: ServingHost) -> None:
        self._host = host

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "cachd_worker_requests", "Requests that workers told of, by the version that answered",
            labels=[*_LABELS, "outcome"],
        )  # fmt: skip
        seconds = HistogramMetricFamily(
            "cachd_worker_request_duration_seconds", "How long these requests took",
            labels=_LABELS,
        )  # fmt: skip
        for model, stage, counts in self._host.all_requests():
            labels = [model, stage, str(counts.number)]
            requests.add_metric([*labels, "ok"], counts.requests - counts.failed)
            requests.add_metric([*labels, "failed"], counts.failed)
            seconds.add_metric(labels, _cumulative(counts), counts.us / 1e6)
        return [requests, seconds]


def _cumulative(counts: VersionCounts) -> list[tuple[str, float]]:
    bounds = [*(str(us / 1e6) for us in BOUNDS_US), "+Inf"]
    return list(zip(bounds, accumulate(counts.buckets), strict=True))
