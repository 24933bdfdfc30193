"""The control API as its OpenAPI document says it is, and its refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_core.domain.identifiers import Digest, ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.trust.keys import Keyring
from registry_core.trust.move import sign_move
from tests.models import make_model
from tests.system import (
    approval_operations,
    audit_operations,
    event_operations,
    garbage_operations,
    metadata_operations,
    recovery_operations,
    region_operations,
    stage_operations,
    webhook_operations,
)
from tests.system.api import CHANGE, Api
from tests.system.rig import Rig

OPERATIONS: tuple[Callable[[Api, Rig], None], ...] = (
    stage_operations.exercise,
    metadata_operations.exercise,
    approval_operations.exercise,
    event_operations.exercise,
    webhook_operations.exercise,
    garbage_operations.exercise,
    recovery_operations.exercise,
    audit_operations.exercise,
    region_operations.exercise,
)
PRODUCTION = "/v1/models/m/stages/production"


@pytest.fixture
def api(rig: Rig, tmp_path: Path) -> Api:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        registry.push(make_model(tmp_path / "v2", tensors=1, changed=0), "m")
        registry.promote("m@production", 1)
    return Api(rig.url)


def a_move(api: Api, rig: Rig, *, key: str = "promoter", stage: str = "production") -> Any:
    """An envelope that moves m@`stage` to version 2 from version 1 under generation 1."""
    about = api.call("GET", "/v1/registry")[1]
    policy = json.loads(about["policy"])
    points = [
        VersionPoint(v["number"], Digest.parse(v["digest"]))
        for v in api.call("GET", "/v1/models/m/versions")[1]["versions"]
    ]

    digest = Digest.of(about["policy"].encode())
    first = points[1] if stage == "production" else None
    move = Move(
        policy["registry"], ModelName("m"), StageName(stage), 2 if first else 1, points[0], first,
        digest,
    )  # fmt: skip
    signing = Keyring(rig.folder / "registry" / "keys").get(key)
    return sign_move(move, signing).to_json()


def test_every_operation_answers_as_documented(api: Api, rig: Rig) -> None:
    assert api.document["openapi"].startswith("3.1")
    for path in (
        "/v1/registry", "/v1/models", "/v1/models/m", "/v1/models/m/versions?newest=1",
        "/v1/models/m/versions/2", "/v1/models/m/stages", PRODUCTION, "/v1/models/m/history",
        "/v1/models/m/status", "/v1/resolve?ref=m@production", "/v1/nodes", "/v1/log?follow=0",
    ):  # fmt: skip
        assert api.call("GET", path)[0] == 200, path
    assert api.call("GET", PRODUCTION)[2]["ETag"] == '"1.0"'
    version = api.call("GET", "/v1/models/m/versions/1")[1]
    known = {"manifest": version["digest"], "bundle": version["bundle"],
             "chunk_bytes": version["chunk_bytes"], "change": CHANGE}  # fmt: skip
    status, again, _ = api.call("POST", "/v1/models/m/versions", known)
    assert (status, again["created"], again["version"]["number"]) == (200, False, 1)
    only_new = {"If-None-Match": "*"}
    assert api.call("POST", "/v1/models/m/versions", known, headers=only_new)[0] == 412
    moved = {"envelope": a_move(api, rig), "change": CHANGE}
    status, stage, headers = api.call("POST", f"{PRODUCTION}/move", moved, match="1.0")
    assert (status, stage["version"]["number"], headers["ETag"]) == (200, 2, '"2.0"')
    status, stage, _ = api.call("POST", f"{PRODUCTION}/choice", {"change": CHANGE}, match="2.0")
    assert (status, stage["choice"]) == (200, 1)
    report = {"node": "n9", "incarnation": 1, "region": "r", "peer": "127.0.0.1:1",
              "log_size": 0, "stages": []}  # fmt: skip
    answer = api.call("PUT", "/v1/nodes/n9", report)[1]
    assert answer["peers"] == []
    report["peers_known"] = answer["version"]
    unchanged = api.call("PUT", "/v1/nodes/n9", report)[1]
    assert unchanged == {"peers": None, "version": answer["version"]}
    for exercise in OPERATIONS:
        exercise(api, rig)
    documented = {
        (method.upper(), path) for path, said in api.document["paths"].items() for method in said
    }
    assert api.called == documented


def test_guards(api: Api, rig: Rig) -> None:
    moved = {"envelope": a_move(api, rig), "change": CHANGE}
    assert api.call("POST", f"{PRODUCTION}/move", moved)[0] == 428
    status, problem, _ = api.call("POST", f"{PRODUCTION}/move", moved, match="0.0")
    assert (status, problem["actual"], problem["stage"]["generation"]) == (412, "1.0", 1)
    assert api.call("POST", f"{PRODUCTION}/choice", {"change": CHANGE}, match="1.0")[0] == 409
    assert api.call("POST", f"{PRODUCTION}/move", moved, match="1.0")[0] == 200
    assert api.call("POST", f"{PRODUCTION}/move", moved, match="2.0")[0] == 412, "a replay"


def test_whose_signature_counts(api: Api, rig: Rig) -> None:
    for key in ("publisher", "owner", "stager"):
        moved = {"envelope": a_move(api, rig, key=key), "change": CHANGE}
        assert api.call("POST", f"{PRODUCTION}/move", moved, match="1.0")[0] == 403, key
    unsigned = a_move(api, rig) | {"signatures": []}
    body = {"envelope": unsigned, "change": CHANGE}
    assert api.call("POST", f"{PRODUCTION}/move", body, match="1.0")[0] == 403
    staging = a_move(api, rig, key="stager", stage="staging") | {"signatures": []}
    body = {"envelope": staging, "change": CHANGE}
    status, _, _ = api.call("POST", "/v1/models/m/stages/staging/move", body, match="0.0")
    assert status == 200, "a stage that needs no person is signed by the authority"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models/nope", None, 404),
        ("GET", "/v1/models/No!", None, 400),
        ("GET", "/v1/models/m/versions/0", None, 400),
        ("GET", "/v1/models/m/versions/9", None, 404),
        ("GET", "/v1/models/m/versions?newest=x", None, 400),
        ("GET", "/v1/models/m/stages/latest", None, 400),
        ("GET", "/v1/models/m/stages/none", None, 404),
        ("GET", "/v1/resolve?ref=m", None, 400),
        ("POST", f"{PRODUCTION}/choice", b"{", 400),
        ("POST", f"{PRODUCTION}/choice", {"change": CHANGE, "extra": 1}, 400),
        ("POST", f"{PRODUCTION}/choice", {"change": {"actor": ""}}, 400),
        ("POST", "/v1/models/m/versions", {"manifest": "x"}, 400),
        ("PUT", "/v1/nodes/n1", {"node": "n2"}, 400),
    ],
)
def test_bad_requests(api: Api, method: str, path: str, body: Any, status: int) -> None:
    answered, problem, _ = api.call(method, path, body, match="1.0")
    assert answered == status
    assert problem["detail"]


def test_a_method_that_a_path_does_not_have(api: Api) -> None:
    status, problem, headers = api.call("DELETE", "/v1/models", check=False)
    assert (status, problem["status"], headers["Allow"]) == (405, 405, "GET")


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    assert api.call("POST", f"{PRODUCTION}/choice", b"x" * (5 << 20), match="1.0")[0] == 413


def test_a_move_of_a_version_that_is_not_in_the_origin(api: Api) -> None:
    body = {"manifest": "sha256:" + "0" * 64, "bundle": "0" * 64, "chunk_bytes": 1 << 20,
            "change": CHANGE}  # fmt: skip
    assert api.call("POST", "/v1/models/m/versions", body)[0] == 404
