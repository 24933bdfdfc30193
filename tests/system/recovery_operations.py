"""Epochs and the state of the backup over the API."""

from __future__ import annotations

from registry_core.domain.epoch import Epoch
from registry_core.trust.epoch import sign_epoch
from registry_core.trust.keys import Keyring
from tests.system.api import CHANGE, Api
from tests.system.rig import Rig, eventually


def exercise(api: Api, rig: Rig) -> None:
    eventually(lambda: api.call("GET", "/v1/backup")[1]["behind"] == 0)
    backup = api.call("GET", "/v1/backup")[1]
    assert (backup["wanted"], backup["error"], backup["lag_s"]) == (True, "", 0.0)
    now = api.call("GET", "/v1/epoch")[1]
    assert (now["epoch"], now["lost"], now["size"]) == (0, "", backup["position"])
    registry = api.call("GET", "/v1/registry")[1]["registry"]
    epoch = Epoch(registry, 1, now["size"], bytes.fromhex(now["root"]))
    keys = Keyring(rig.folder / "registry" / "keys")
    wrong = {"envelope": sign_epoch(epoch, keys.get("promoter")).to_json(), "change": CHANGE}
    assert api.call("POST", "/v1/epoch", wrong)[0] == 403
    signed = {"envelope": sign_epoch(epoch, keys.get("owner")).to_json(), "change": CHANGE}
    assert api.call("POST", "/v1/epoch", signed | {"more": 1})[0] == 400
    status, opened, _ = api.call("POST", "/v1/epoch", signed)
    assert (status, opened["epoch"]) == (200, 1)
    status, problem, _ = api.call("POST", "/v1/epoch", signed)
    assert (status, problem["code"]) == (412, "stale"), "the log has grown by it"
