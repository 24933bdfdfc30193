"""Regions, what their origins hold, prefetches and pins over the API."""

from __future__ import annotations

import shutil

from tests.system.api import CHANGE, Api
from tests.system.rig import Rig

_DAY_MS = 24 * 3600 * 1000


def exercise(api: Api, rig: Rig) -> None:
    origin = rig.folder / "eu"
    eu = {"url": origin.as_uri(), "options": {}, "change": CHANGE}
    assert api.call("PUT", "/v1/regions/eu", eu)[1]["url"] == origin.as_uri()
    assert api.call("PUT", "/v1/regions/eu", eu)[0] == 200, "the same again has no effect"
    elsewhere = eu | {"url": (rig.folder / "elsewhere").as_uri()}
    assert api.call("PUT", "/v1/regions/eu", elsewhere)[0] == 409
    assert api.call("PUT", "/v1/regions/local", elsewhere)[0] == 409, "the home region"
    secret = elsewhere | {"options": {"secret_access_key": "x"}}
    assert api.call("PUT", "/v1/regions/us", secret)[0] == 400
    assert api.call("PUT", "/v1/regions/us", elsewhere | {"more": 1})[0] == 400
    known = api.call("GET", "/v1/regions")[1]
    assert (known["home"], [one["name"] for one in known["others"]]) == ("local", ["eu"])
    _copy(api, rig)
    _prefetch(api)
    _pin(api)
    assert api.call("DELETE", "/v1/regions/eu", {"change": CHANGE})[0] == 200
    assert api.call("DELETE", "/v1/regions/eu", {"change": CHANGE})[0] == 404
    assert api.call("GET", "/v1/models/m/versions/1/copies")[1] == {"copies": []}


def _copy(api: Api, rig: Rig) -> None:
    digest = api.call("GET", "/v1/models/m/versions/1")[1]["digest"]
    begun = {"manifest": digest, "change": CHANGE}
    push = api.call("POST", "/v1/models/m/pushes", begun)[1]["push"]
    made = {"push": push, "change": CHANGE}
    copy = "/v1/models/m/versions/1/copies/eu"
    assert api.call("PUT", copy, made)[0] == 404, "its origin has nothing of it"
    shutil.copytree(rig.folder / "registry" / "origin", rig.folder / "eu", dirs_exist_ok=True)
    assert api.call("PUT", copy, made | {"push": "00" * 16})[0] == 409, "not announced"
    status, found, _ = api.call("PUT", copy, made)
    assert (status, found["region"], found["number"]) == (200, "eu", 1)
    assert api.call("GET", "/v1/models/m/versions/1/copies")[1] == {"copies": [found]}
    assert api.call("GET", "/v1/regions/eu/copies")[1] == {"copies": [found]}
    assert api.call("GET", "/v1/regions/us/copies")[0] == 404
    for _ in range(2):
        assert api.call("DELETE", copy, {"change": CHANGE})[0] == 200
    assert api.call("GET", "/v1/regions/eu/copies")[1] == {"copies": []}


def _pin(api: Api) -> None:
    pins = "/v1/models/m/versions/1/pins"
    wanted = {"regions": ["eu", "*"], "change": CHANGE}
    pinned = api.call("POST", pins, wanted | {"keep_ms": _DAY_MS})[1]["pins"]
    assert {(one["region"], one["pinned"], one["reason"]) for one in pinned} == {
        ("eu", True, "r"), ("*", True, "r"),
    }  # fmt: skip
    assert api.call("GET", "/v1/pins")[1] == {"pins": pinned}
    assert api.call("POST", pins, wanted)[1]["pins"][0]["until_ms"] == 253_402_300_799_000
    for wrong in ({"regions": []}, {"regions": ["No!"]}, {"keep_ms": 0}, {"keep_ms": 1 << 40}):
        assert api.call("POST", pins, wanted | wrong)[0] == 400, wrong
    assert len(api.call("DELETE", pins, {"change": CHANGE})[1]["pins"]) == 2
    assert api.call("DELETE", pins, {"change": CHANGE})[0] == 404
    assert api.call("GET", "/v1/pins")[1] == {"pins": []}


def _prefetch(api: Api) -> None:
    wanted = {"regions": ["eu", "*"], "keep_ms": _DAY_MS, "change": CHANGE}
    asked = api.call("POST", "/v1/models/m/versions/1/prefetches", wanted)[1]["prefetches"]
    assert {one["region"] for one in asked} == {"eu", "*"}
    assert api.call("GET", "/v1/prefetches")[1] == {"prefetches": asked}
    for wrong in ({"regions": []}, {"regions": ["No!"]}, {"keep_ms": 0}):
        refused = api.call("POST", "/v1/models/m/versions/1/prefetches", wanted | wrong)
        assert refused[0] == 400, wrong
