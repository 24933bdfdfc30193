"""Announced pushes and gc over the API."""

from __future__ import annotations

from typing import Any

from tests.system.api import CHANGE, Api
from tests.system.rig import Rig, eventually

PUSHES = "/v1/models/m/pushes"


def exercise(api: Api, rig: Rig) -> None:
    announced = {"manifest": "sha256:" + "1" * 64, "change": CHANGE}
    status, push, _ = api.call("POST", PUSHES, announced)
    assert (status, push["condemned"]) == (200, [])
    ended = f"{PUSHES}/{push['push']}"
    assert api.call("DELETE", ended, {"change": CHANGE})[0] == 200
    assert api.call("DELETE", ended, {"change": CHANGE})[0] == 200, "once more has no effect"
    assert api.call("DELETE", f"{PUSHES}/x", {"change": CHANGE})[0] == 400
    assert api.call("POST", PUSHES, announced | {"manifest": "x"})[0] == 400
    assert api.call("GET", "/v1/gc")[0] == 404, "none has run"
    keyed = {"Idempotency-Key": "gc-1"}
    status, run, _ = api.call("POST", "/v1/gc", {"dry_run": True, "change": CHANGE}, headers=keyed)
    assert (status, run["dry_run"]) == (200, True)
    again = api.call("POST", "/v1/gc", {"dry_run": True, "change": CHANGE}, headers=keyed)[1]
    assert again["run"] == run["run"]

    def finished() -> Any:
        return api.call("GET", "/v1/gc")[1] if api.call("GET", "/v1/gc")[1]["report"] else None

    eventually(lambda: bool(finished()))
    report = finished()["report"]
    assert (report["dry_run"], report["packs_condemned"]) == (True, 0), "all of it is young"
