"""Reads from a node's replica, and the log through a relay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cachd.control.http import HttpClient
from cachd.control.log_download import LogDownload
from cachd.node.freshness import Freshness
from registry_core.registry import Registry
from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.system.api import CHANGE, Api
from tests.system.rig import Rig, eventually

READS = (
    "/v1/registry", "/v1/models", "/v1/models/m", "/v1/models/m/versions?newest=1",
    "/v1/models/m/versions/2", "/v1/models/m/stages", "/v1/models/m/stages/production",
    "/v1/models/m/history", "/v1/resolve?ref=m@production", "/v1/proposals", "/v1/epoch",
    "/v1/versions?filter=number%20%3E%201", "/v1/events?after=0", "/v1/audit?type=stage",
    "/v1/audit/served?at_ms=9000000000000",
)  # fmt: skip


@pytest.fixture
def pushed(rig: Rig, tmp_path: Path) -> Rig:
    with rig.connect() as registry:
        for number in (1, 2):
            registry.push(make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m")
        registry.promote("m@production", 1)
    return rig


def call(url: str, path: str, **headers: str) -> tuple[int, Any, dict[str, str]]:
    return Api(url).call("GET", path, check=False, headers=headers)


def log_size(url: str) -> int:
    return int(call(url, "/v1/epoch")[1]["size"])


def annotate(registry: Registry, count: int) -> None:
    for number in range(count):
        registry.metadata.annotate_model("m", {"notes": f"{number} " + "x" * 1000})


def test_a_node_answers_as_the_authority_does(pushed: Rig) -> None:
    node = str(pushed.start_node("n1", "--api", "127.0.0.1:0")["api"])
    pushed.wait_serving("n1", 1)
    for path in READS:
        there, here = call(pushed.url, path), call(node, path)
        assert here[0] == there[0] == 200, path
        assert here[1] == there[1], path
        assert int(here[2]["Age"]) < 10, path
        assert "Cachd-Stale" not in here[2]
    assert call(node, "/v1/models/none")[0] == 404
    assert call(node, "/v1/consumers")[0] == 404, "an authority's own"
    status, problem, _ = Api(node).call("PATCH", "/v1/models/m", {"change": CHANGE}, check=False)
    assert (status, problem["code"], pushed.url in problem["detail"]) == (405, "read_only", True)
    refused = cachctl("annotate", "m", "--notes", "x", registry=node)
    assert (refused.code, "only reads" in refused.err) == (2, True)
    assert cachctl("resolve", "m@production", registry=node).code == 0
    assert call(node, "/readyz")[0] == 200
    assert "cachd_replica_age_seconds" in str(call(node, "/metrics")[1])


def test_one_that_serves_nothing_answers_too(pushed: Rig) -> None:
    node = str(pushed.start_node("n1", "--api", "127.0.0.1:0", serve="other@production")["api"])
    eventually(lambda: log_size(node) == log_size(pushed.url))
    assert cachctl("resolve", "m@production", registry=node).code == 0
    pushed.fleet.kill("authority")
    assert cachctl("resolve", "m@production", registry=node).code == 0


def test_one_that_never_heard_of_the_origin_says_so(pushed: Rig) -> None:
    node = str(pushed.start_node("n1", "--api", "127.0.0.1:0", serve="other@production")["api"])
    eventually(lambda: log_size(node) == log_size(pushed.url))
    pushed.fleet.kill("authority")
    refused = cachctl("resolve", "m@production", registry=node)
    assert (refused.code, "no authority answers" in refused.err) == (8, True)


def test_it_answers_on_without_the_authority_and_says_how_old_it_is(pushed: Rig) -> None:
    node = str(pushed.start_node("n1", "--api", "127.0.0.1:0")["api"])
    pushed.wait_serving("n1", 1)
    pushed.fleet.kill("authority")
    began_s = time.monotonic()
    eventually(lambda: int(call(node, "/v1/models")[2]["Age"]) >= 2)
    assert time.monotonic() - began_s < 10
    assert call(node, "/v1/resolve?ref=m@production")[0] == 200
    status, problem, _ = call(node, "/v1/models", **{"Cache-Control": "max-age=1"})
    assert (status, problem["code"]) == (504, "not_fresh_enough")
    assert call(node, "/v1/models", **{"Cache-Control": "max-age=100"})[0] == 200
    pushed.start_authority()
    eventually(lambda: int(call(node, "/v1/models")[2]["Age"]) <= 1)


def test_a_node_that_was_restarted_alone_serves_what_it_had(pushed: Rig) -> None:
    pushed.start_node("n1", "--api", "127.0.0.1:0")
    pushed.wait_serving("n1", 1)
    pushed.fleet.kill("authority")
    pushed.fleet.kill("n1")
    node = str(pushed.start_node("n1", "--api", "127.0.0.1:0")["api"])
    assert call(node, "/v1/resolve?ref=m@production")[0] == 200
    assert call(node, "/readyz")[0] == 503, "it has not heard from anybody since it started"


@pytest.mark.slow
def test_the_log_through_a_relay(pushed: Rig) -> None:
    """n2 knows of the authority only what n1 relays; far behind at first, then entry by entry."""
    with pushed.connect() as registry:
        annotate(registry, 700)
        relay = str(pushed.start_node("n1", "--api", "127.0.0.1:0")["api"])
        eventually(lambda: log_size(relay) == log_size(pushed.url))
        node = str(pushed.start_node("n2", "--api", "127.0.0.1:0", "--relay", relay)["api"])
        eventually(lambda: log_size(node) == log_size(pushed.url))
        pushed.wait_serving("n2", 1)
        registry.promote("m@production", 2)
        pushed.wait_serving("n2", 2, "2.0")
    assert (streams(pushed.url), streams(relay)) == (1, 1), "one stream for both"
    pushed.fleet.kill("n1")
    with pushed.connect() as registry:
        registry.promote("m@production", 1)
    pushed.wait_serving("n2", 1, "3.0")
    client = HttpClient(node)
    download = LogDownload(client)
    assert len(list(download)) == log_size(pushed.url), "and relays all of it"
    client.close()


@pytest.mark.slow
def test_the_age_of_a_relay_counts(pushed: Rig) -> None:
    relay = str(pushed.start_node("n1", "--api", "127.0.0.1:0")["api"])
    node = str(pushed.start_node("n2", "--api", "127.0.0.1:0", "--relay", relay)["api"])
    pushed.wait_serving("n2", 1)
    pushed.fleet.kill("authority")
    eventually(lambda: int(call(relay, "/v1/models")[2]["Age"]) >= 7, within_s=30)
    assert int(call(node, "/v1/models")[2]["Age"]) >= 2, "though its relay speaks every 5 seconds"


def test_freshness_is_of_who_knew() -> None:
    assert Freshness(ttl_s=30.0, age_s=31.0).stale, "from before this start"
    freshness = Freshness(ttl_s=30.0)
    assert not freshness.ever
    freshness.heard(40_000)
    assert freshness.age_s() < 1, "older news do not make it older than it is"
    late = Freshness(ttl_s=30.0, age_s=100.0)
    assert late.stale
    late.heard(20_000)
    assert 19 < late.age_s() < 25
    assert not late.stale


def streams(url: str) -> int:
    """Open ones at an authority or a node."""
    text = call(url, "/metrics")[1].decode()
    (line,) = (one for one in text.splitlines() if one.startswith("cachd_streams "))
    return int(float(line.split()[1]))
