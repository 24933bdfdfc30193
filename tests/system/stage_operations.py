"""Splits, and changing several stages in one request, over the API."""

from __future__ import annotations

from tests.system.api import CHANGE, Api
from tests.system.rig import Rig

SPLIT = "/v1/models/m/stages/production/split"


def exercise(api: Api, rig: Rig) -> None:
    """m@production is at 2.1 by now: toggle it, with a guard, in a request of one step."""
    steps = [{"choice": "m@production", "expect": "2.1"}]
    status, body, _ = api.call("POST", "/v1/stages", {"steps": steps, "change": CHANGE})
    assert (status, body["stages"][0]["choice"]) == (200, 2)
    asked = {"split": 50, "change": CHANGE}
    status, stage, headers = api.call("POST", SPLIT, asked, match="2.2")
    assert (status, stage["split"], headers["ETag"]) == (200, 50, '"2.3"')
    assert api.call("POST", SPLIT, asked)[0] == 428
    status, problem, _ = api.call("POST", SPLIT, asked, match="2.2")
    assert (status, problem["stage"]["split"]) == (412, 50)
    assert api.call("POST", SPLIT, asked, match="2.3")[0] == 409, "nothing to do"
    assert api.call("POST", SPLIT, asked | {"split": 1001}, match="2.3")[0] == 400
    steps = [{"choice": "m@production", "expect": "2.3", "split": 1000}]
    status, body, _ = api.call("POST", "/v1/stages", {"steps": steps, "change": CHANGE})
    assert (status, body["stages"][0]["choice"], body["stages"][0]["split"]) == (200, 4, 0)
