"""Proposing, approving and rejecting over the API."""

from __future__ import annotations

import json
from dataclasses import replace

from registry_core.domain.policy import APPROVER, Policy, StageRule
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.move import sign_move
from registry_core.trust.policy import sign_policy
from tests.system.api import CHANGE, Api
from tests.system.rig import Rig

STAGE = "/v1/models/m/stages/canary"
BOB = {"actor": "bob", "reason": "no"}


def exercise(api: Api, rig: Rig) -> None:
    approver = SigningKey.generate_p256()
    _ask_for_approvals(api, rig, approver)
    with rig.connect() as registry:
        move = registry._next_move("m@canary", 1)
    signed = sign_move(move, Keyring(rig.folder / "registry" / "keys").get("promoter"))
    asked = {"envelope": signed.to_json(), "change": CHANGE}
    status, problem, _ = api.call("POST", f"{STAGE}/move", asked, match="0.0")
    assert (status, "1 approval" in problem["detail"]) == (403, True)
    proposed = api.call("POST", f"{STAGE}/proposals", asked)[1]
    assert "approver" in proposed["lacking"]
    one = f"{STAGE}/proposals/{proposed['proposal']}"
    assert api.call("POST", f"{one}/rejection", {"change": BOB | {"reason": ""}})[0] == 400
    assert api.call("POST", f"{one}/rejection", {"change": BOB})[1]["id"] == proposed["proposal"]
    assert api.call("POST", f"{STAGE}/proposals", asked)[0] == 200
    waiting = f"/v1/proposals?waiting_for={approver.key_id}"
    assert [p["stage"] for p in api.call("GET", waiting)[1]["proposals"]] == ["canary"]
    assert api.call("GET", f"/v1/proposals?waiting_for={'0' * 64}")[1]["proposals"] == []
    added = Envelope(signed.payload_type, signed.payload, ()).with_signature(approver)
    approval = {"envelope": added.to_json(), "change": BOB}
    moved = api.call("POST", f"{one}/approvals", approval)[1]
    assert (moved["lacking"], moved["stage"]["version"]["number"]) == ("", 1)
    assert api.call("POST", f"{one}/approvals", approval)[0] == 404


def _ask_for_approvals(api: Api, rig: Rig, approver: SigningKey) -> None:
    """A rule for `canary` before all others."""
    text = api.call("GET", "/v1/registry")[1]["policy"]
    before = Policy.parse(text.encode())
    rule = StageRule("m", "canary", "promoter", 1, protected=True, approvals=1)
    after = replace(
        before,
        keys=before.keys | {approver.key_id: approver.public_pem},
        roles=before.roles | {APPROVER: (approver.key_id,)},
        rules=(rule, *before.rules),
    )
    envelope = sign_policy(after, Keyring(rig.folder / "registry" / "keys").get("owner"))
    body = {"envelope": envelope.to_json(), "expect": str(before.digest), "change": CHANGE}
    status, answer, _ = api.call("PUT", "/v1/policy", body)
    assert (status, answer["digest"]) == (200, str(after.digest))
    assert json.loads(answer["policy"])["rules"][0]["approvals"] == 1
    assert api.call("PUT", "/v1/policy", body)[0] == 412
