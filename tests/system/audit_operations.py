"""The past over the API."""

from __future__ import annotations

import time

from tests.system.api import Api
from tests.system.rig import Rig


def exercise(api: Api, rig: Rig) -> None:
    page = api.call("GET", "/v1/audit?type=stage&model=m&limit=1")[1]
    assert [entry["type"] for entry in page["entries"]] == ["stage.moved"]
    rest = api.call("GET", f"/v1/audit?type=stage&model=m&after={page['next']}")[1]
    assert rest["entries"][0]["sequence"] > page["entries"][0]["sequence"]
    assert api.call("GET", "/v1/audit?actor=nobody")[1]["entries"] == []
    now_ms = int(time.time() * 1000)
    (then,) = api.call("GET", f"/v1/audit/served?at_ms={now_ms}&model=m&stage=production")[1][
        "stages"
    ]
    stage = api.call("GET", "/v1/models/m/stages/production")[1]
    assert (then["generation"], then["choice"]) == (stage["generation"], stage["choice"])
    assert then["move"]["signers"]
    assert len(api.call("GET", f"/v1/audit/served?at_ms={now_ms}")[1]["stages"]) >= 1
    for path in (
        "/v1/audit?since_ms=x", "/v1/audit?limit=0", "/v1/audit?model=No!", "/v1/audit/served",
        "/v1/audit?actor=" + "x" * 300, f"/v1/audit/served?at_ms={now_ms}&stage=latest",
    ):  # fmt: skip
        assert api.call("GET", path)[0] == 400, path
