"""What an authority refuses before it looks, what it tells Prometheus, and how it goes."""

from __future__ import annotations

import asyncio
import http.client
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from prometheus_client.parser import text_string_to_metric_families

import registry_core
from cachd.api import middleware
from cachd.api.admission import RateLimit
from cachd.api.metrics import Metrics
from cachd.api.middleware import Bounds
from cachd.control.limits import CLIENTS_REMEMBERED_MAX
from registry_core.embedded.control import EmbeddedControl
from registry_core.registry import Registry
from tests.system.api import Api
from tests.system.rig import Rig


def test_a_client_may_burst_and_then_has_its_rate(seed: int) -> None:
    limit, rng = RateLimit(per_second=10, burst=5), random.Random(seed)
    assert [limit.wait_s("a", 0.0) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert limit.wait_s("b", 0.0) == 0, "others are not held up"
    assert limit.wait_s("a", 0.05) == 1
    assert limit.wait_s("a", 0.11) == 0
    now_s, passed = 100.0, 0
    for _ in range(5_000):
        now_s += rng.random() / 50
        passed += limit.wait_s("a", now_s) == 0
    assert passed == pytest.approx((now_s - 100) * 10 + 5, abs=2)


def test_it_remembers_no_more_clients_than_it_may() -> None:
    limit = RateLimit(per_second=1, burst=1)
    for number in range(CLIENTS_REMEMBERED_MAX + 10):
        limit.wait_s(f"client {number}", 0.0)
    assert len(limit._buckets) == CLIENTS_REMEMBERED_MAX


def test_bounds(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller bounds than an authority has, so that they are reached at once."""
    monkeypatch.setattr(middleware, "REQUEST_S_MAX", 0.2)
    monkeypatch.setattr(middleware, "REQUESTS_AT_ONCE_MAX", 2)
    monkeypatch.setattr(middleware, "STREAMS_MAX", 1)
    monkeypatch.setattr(middleware, "REQUESTS_BURST", 8.0)
    monkeypatch.setattr(middleware, "REQUESTS_PER_SECOND", 0.001)
    control = registry.control
    assert isinstance(control, EmbeddedControl)
    metrics = Metrics(control.ledger)
    asyncio.run(_exceed(metrics))
    refused = {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(_scraped(metrics))
        for sample in family.samples
        if sample.name == "cachd_requests_refused_total"
    }
    assert refused.keys() == {"busy", "streams", "rate"}


def _scraped(metrics: Metrics) -> str:
    from prometheus_client.exposition import generate_latest

    return generate_latest(metrics._registry).decode()


async def _exceed(metrics: Metrics) -> None:
    release = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="done")

    app = web.Application(middlewares=[Bounds(metrics, frozenset({"/stream"})).middleware()])
    app.router.add_get("/slow", slow)
    app.router.add_get("/stream", slow)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    async with ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(url + path) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After", "")

        first = [asyncio.create_task(get("/slow")) for _ in range(3)]
        ended = await asyncio.gather(*first)
        assert sorted(ended) == [(503, ""), (503, ""), (503, "1")], "two too long, one too many"
        streams = [asyncio.create_task(get("/stream")) for _ in range(2)]
        done, _ = await asyncio.wait(streams, return_when=asyncio.FIRST_COMPLETED)
        assert done.pop().result() == (503, "5")
        release.set()
        await asyncio.wait(streams)
        for _ in range(3):
            await get("/slow")
        assert (await get("/slow"))[0] == 429
    await runner.cleanup()


def test_metrics(rig: Rig) -> None:
    api = Api(rig.url)
    api.call("GET", "/v1/models")
    api.call("GET", "/v1/models/none")
    api.call("GET", "/nowhere", check=False)
    _, text, headers = api.call("GET", "/metrics", check=False)
    assert headers["Content-Type"].startswith("text/plain; version=")
    families = {one.name: one for one in text_string_to_metric_families(text.decode())}
    counted = {
        (sample.labels["http_route"], sample.labels["http_response_status_code"]): sample.value
        for sample in families["http_server_request_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert counted["/v1/models", "200"] == 1
    assert counted["/v1/models/{model}", "404"] == 1, "the template, never the path"
    assert counted["none", "404"] == 1
    assert families["cachd_log_entries"].samples[0].value == 2
    assert families["cachd_build_info"].samples[0].value == 1


def test_a_stopping_authority_says_so_first(tmp_path: Path) -> None:
    home = tmp_path / "registry"
    registry_core.init(home).close()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "cachd.main", "authority", "--home", str(home),
         "--listen", f"127.0.0.1:{port}", "--drain-s", "1.5"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()

    def status(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        answered = connection.getresponse().status
        connection.close()
        return answered

    assert (status("/readyz"), status("/healthz")) == (200, 200)
    process.terminate()
    deadline = time.monotonic() + 5
    while status("/readyz") != 503:
        assert time.monotonic() < deadline
    assert status("/v1/models") == 200, "it answers on while it says no"
    assert process.wait(20) == 0
    process.stdout.close()
