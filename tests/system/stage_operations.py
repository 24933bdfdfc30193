"""Changing several stages in one request, over the API."""

from __future__ import annotations

from tests.system.api import CHANGE, Api
from tests.system.rig import Rig


def exercise(api: Api, rig: Rig) -> None:
    """m@production is at 2.1 by now: toggle it, with a guard, in a request of one step."""
    steps = [{"choice": "m@production", "expect": "2.1"}]
    status, body, _ = api.call("POST", "/v1/stages", {"steps": steps, "change": CHANGE})
    assert (status, body["stages"][0]["choice"]) == (200, 2)
