"""Events from a real authority: at least once, in order, from any point, through kills."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_core.registry import Registry
from tests.approvals.people import People
from tests.models import make_model
from tests.system.api import Api
from tests.system.rig import Rig

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry(rig: Rig, tmp_path: Path) -> Iterator[Registry]:  # through the authority
    with rig.connect() as registry:
        for number in (1, 2):
            registry.push(make_model(tmp_path / f"v{number}", tensors=1, seed=number), "m")
        yield registry


@pytest.fixture
def api(rig: Rig, registry: Registry) -> Api:
    return Api(rig.url)


def events(api: Api, path: str) -> list[dict[str, Any]]:
    status, body, _ = api.call("GET", path)
    assert status == 200, body
    return list(body["events"])


def test_a_life_in_events(api: Api, registry: Registry) -> None:
    registry.promote("m@production", 1)
    registry.promote("m@production", 2, reason="better")
    registry.rollback("m@production")
    found = events(api, "/v1/events")
    kinds = [event["type"].removeprefix("io.cachd.") for event in found]
    assert kinds == [
        "registry.created", "registry.policy.set", "model.created", "model.version.registered",
        "model.version.registered", "model.stage.moved", "model.stage.moved", "model.stage.chosen",
    ]  # fmt: skip
    for event in found:
        assert {"specversion", "id", "source", "type"} <= event.keys(), "CloudEvents 1.0, 3.1"
        assert event["specversion"] == "1.0"
        assert "envelope" not in json.dumps(event), "no signatures"
    ids = [int(event["id"]) for event in found]
    assert ids == sorted(ids)
    moved, chosen = found[-2]["data"], found[-1]["data"]
    assert (moved["version"], moved["generation"], moved["reason"]) == (2, 2, "better")
    assert (moved["before"]["version"]["number"], chosen["version"], chosen["choice"]) == (1, 1, 1)
    only = events(api, "/v1/events?types=model.stage,registry&model=m")
    assert [event["id"] for event in only] == [event["id"] for event in found[-3:]]
    assert events(api, f"/v1/events?after={ids[-2]}") == found[-1:]
    assert len(events(api, "/v1/events?limit=2")) == 2


def test_a_long_poll_ends_with_the_event(api: Api, registry: Registry) -> None:
    after = api.call("GET", "/v1/events?limit=1000")[1]["next"]
    thread = threading.Timer(0.3, lambda: registry.promote("m@production", 1))
    thread.start()
    began_s = time.monotonic()
    found = events(api, f"/v1/events?after={after}&wait=20")
    assert [event["type"] for event in found] == ["io.cachd.model.stage.moved"]
    assert time.monotonic() - began_s < 10
    thread.join()
    began_s = time.monotonic()
    assert events(api, f"/v1/events?after={found[0]['id']}&wait=1") == []
    assert time.monotonic() - began_s >= 0.9


@pytest.mark.slow
def test_a_consumer_lasts(api: Api, registry: Registry, rig: Rig) -> None:
    mine = {"name": "mine", "types": ["model.stage"], "start": 0}
    assert api.call("POST", "/v1/consumers", mine)[0] == 200
    assert api.call("POST", "/v1/consumers", mine)[1]["cursor"] == 0, "again: no effect"
    assert api.call("POST", "/v1/consumers", mine | {"model": "x"})[0] == 409
    seen: list[str] = []
    registry.promote("m@production", 1)
    for version in (2, 1, 2):
        batch = api.call("GET", "/v1/consumers/mine/events?wait=5")[1]
        again = api.call("GET", "/v1/consumers/mine/events")[1]
        assert again["events"] == batch["events"], "not acknowledged: the same again"
        seen += [event["id"] for event in batch["events"]]
        ack = {"cursor": batch["after"], "sequence": batch["next"]}
        assert api.call("POST", "/v1/consumers/mine/ack", ack)[0] == 200
        if batch["next"] != batch["after"]:
            assert api.call("POST", "/v1/consumers/mine/ack", ack)[0] == 412, "another was faster"
        rig.fleet.kill("authority")
        rig.start_authority()
        registry.promote("m@production", version)
    batch = api.call("GET", "/v1/consumers/mine/events?wait=5")[1]
    seen += [event["id"] for event in batch["events"]]
    everything = events(api, "/v1/events?types=model.stage")
    assert seen == [event["id"] for event in everything], "each once, in order, through kills"
    assert api.call("POST", "/v1/consumers/mine/seek", {"sequence": 0})[1]["cursor"] == 0
    replayed = api.call("GET", "/v1/consumers/mine/events")[1]["events"]
    assert replayed == everything
    listed = api.call("GET", "/v1/consumers")[1]
    assert [one["name"] for one in listed["consumers"]] == ["mine"]
    assert api.call("DELETE", "/v1/consumers/mine")[0] == 200
    assert api.call("GET", "/v1/consumers/mine/events")[0] == 404


def test_refusals(api: Api) -> None:
    for path in ("after=x", "wait=99", "types=model.stages", "model=No!", "limit=0"):
        assert api.call("GET", f"/v1/events?{path}")[0] == 400, path
    for body in ({"name": "No!"}, {"name": "a", "start": 999_999}, {"name": "a", "more": 1}):
        assert api.call("POST", "/v1/consumers", body)[0] == 400, body
    assert api.call("POST", "/v1/consumers/none/seek", {"sequence": 0})[0] == 404


def test_a_stream_goes_on_where_it_broke_off(registry: Registry, rig: Rig) -> None:
    registry.promote("m@production", 1)

    def read(count: int, **headers: str) -> list[str]:
        request = urllib.request.Request(
            f"{rig.url}/v1/events/stream?types=model.stage", headers=headers
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            ids = []
            while len(ids) < count:
                line = answer.readline().decode().rstrip("\n")
                if line.startswith("id: "):
                    ids.append(line[4:])
                elif line.startswith("data: "):
                    assert json.loads(line[6:])["id"] == ids[-1]
            return ids

    first = read(1)
    thread = threading.Timer(0.2, lambda: registry.promote("m@production", 2))
    thread.start()
    second = read(1, **{"Last-Event-ID": first[0]})
    thread.join()
    assert int(second[0]) > int(first[0])
    assert read(2) == first + second


def test_the_pipeline_example(registry: Registry, rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    people = People(_with_owner(registry, rig), tmp_path / "keys")
    people.add("ann", "promoter")
    people.add("bob", "approver")
    people.rule()
    people.as_person("ann").approvals.propose("m@production", 1)
    people.as_person("bob").approvals.approve("m@production")
    script = ROOT / "docs" / "examples" / "on_approved.py"
    done = subprocess.run(
        [sys.executable, str(script), rig.url, "1"], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bob approved a move of m@production" in done.stdout


def _with_owner(registry: Registry, rig: Rig) -> Registry:
    from registry_core.trust.keys import Keyring

    return registry.with_keys(Keyring(rig.folder / "registry" / "keys"))
