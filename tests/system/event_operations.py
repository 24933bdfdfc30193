"""Events and consumers over the API."""

from __future__ import annotations

from tests.system.api import Api
from tests.system.rig import Rig


def exercise(api: Api, rig: Rig) -> None:
    batch = api.call("GET", "/v1/events?types=model.created")[1]
    assert [event["subject"] for event in batch["events"]] == ["model/m"]
    consumer = "/v1/consumers/pipeline"
    made = api.call("POST", "/v1/consumers", {"name": "pipeline"})[1]
    assert api.call("GET", f"{consumer}/events")[1]["events"] == []
    ack = {"cursor": made["cursor"], "sequence": made["cursor"]}
    assert api.call("POST", f"{consumer}/ack", ack)[0] == 200
    assert api.call("POST", f"{consumer}/seek", {"sequence": 1})[1]["cursor"] == 1
    assert api.call("GET", "/v1/consumers")[1]["consumers"][0]["name"] == "pipeline"
    assert api.call("DELETE", consumer)[0] == 200
    api.called.add(("GET", "/v1/events/stream"))  # has no end: tests/events reads it
