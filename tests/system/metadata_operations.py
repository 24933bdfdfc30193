"""Annotating and searching over the API."""

from __future__ import annotations

from urllib.parse import quote

from tests.system.api import CHANGE, Api
from tests.system.rig import Rig

VERSION = "/v1/models/m/versions/2"


def exercise(api: Api, rig: Rig) -> None:
    said = {"fields": {"metrics.auc": "0.93", "tags.team": "red"}, "change": CHANGE}
    status, version, _ = api.call("PATCH", VERSION, said)
    assert (status, version["metrics"], version["tags"]) == (200, {"auc": "0.93"}, {"team": "red"})
    model = {"fields": {"notes": "ours", "retention.keep_newest": 3}, "change": CHANGE}
    assert api.call("PATCH", "/v1/models/m", model)[1]["retention"] == {"keep_newest": 3}
    found = api.call("GET", "/v1/versions?page_size=1")[1]
    assert [one["number"] for one in found["versions"]] == [2]
    rest = api.call("GET", f"/v1/versions?page_size=1&page_token={found['next']}")[1]
    assert ([one["number"] for one in rest["versions"]], rest["next"]) == ([1], "")
    asked = quote("metrics.auc > 0.9 AND stage != 'staging'")
    fields = "fields=number,tags.team"
    masked = api.call("GET", f"/v1/versions?filter={asked}&{fields}", check=False)[1]
    assert masked["versions"] == [{"number": 2, "tags": {"team": "red"}}]
    gone = {"change": {"actor": "tester", "reason": "wrong data"}}
    assert api.call("DELETE", "/v1/models/m/versions/2", gone)[0] == 409, "a stage names it"
    assert api.call("DELETE", "/v1/models/m/versions/7", gone)[0] == 404
    for path, field in (
        ("filter=" + quote("colour = 1"), "colour"), ("page_token=x", "page_token"),
        ("order_by=tags.a", "tags.a"), ("fields=colour", "colour"), ("page_size=0", "page_size"),
    ):  # fmt: skip
        status, problem, _ = api.call("GET", f"/v1/versions?{path}")
        assert (status, field in problem["detail"]) == (400, True), path
    bad = {"fields": {"colour": "red"}, "change": CHANGE}
    assert api.call("PATCH", VERSION, bad)[0] == 400
    assert api.call("PATCH", VERSION, said | {"more": 1})[0] == 400
    keyed = {"Idempotency-Key": "annotate-1"}
    first = api.call("PATCH", VERSION, said, headers=keyed)
    assert api.call("PATCH", VERSION, said, headers=keyed)[1] == first[1]
    assert api.call("PATCH", VERSION, model, headers=keyed)[0] == 422
