"""Two people and a policy, from the command line and through an authority."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.cachctl import cachctl
from tests.models import make_model


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "registry"
    assert cachctl("init", home).code == 0
    for number in (1, 2):
        model = make_model(tmp_path / f"v{number}", tensors=1, seed=number)
        assert cachctl("push", model, "--model", "m", registry=home).code == 0
    assert cachctl("promote", "m@production", "1", registry=home).code == 0
    return home


@pytest.mark.slow
def test_propose_and_approve(home: Path, tmp_path: Path) -> None:
    bob = ("--keys", tmp_path / "bob", "--actor", "bob")
    made = cachctl("key", "approver", "--keys", tmp_path / "bob", "--json")
    assert (made.code, len(made.json["id"])) == (0, 64)
    assert cachctl("key", "approver", "--keys", tmp_path / "bob").code != 0, "never overwritten"
    policy = json.loads(cachctl("policy", registry=home).out)
    policy["keys"][made.json["id"]] = made.json["public"]
    policy["roles"]["approver"] = [made.json["id"]]
    policy["rules"].insert(0, {"model": "m", "stage": "production", "role": "promoter",
                               "threshold": 1, "protected": True, "approvals": 1,
                               "approver": "approver"})  # fmt: skip
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy), encoding="utf-8")
    assert cachctl("policy", "--set", file, "--reason", "four eyes", registry=home).code == 0
    refused = cachctl("promote", "m@production", "2", registry=home)
    assert (refused.code, "cachctl propose" in refused.err) == (6, True)
    proposed = cachctl("propose", "m@production", "2", "--reason", "better", registry=home)
    assert (proposed.code, "needs 1 approval" in proposed.out) == (0, True), proposed.err
    assert "better" in cachctl("proposals", registry=home).out
    assert "nothing waits" in cachctl("proposals", "--mine", registry=home).out
    mine = cachctl("proposals", "--mine", "--json", *bob, registry=home).json["proposals"]
    assert len(mine) == 1
    rejected = cachctl("reject", "m@production", "--reason", "too soon", *bob, registry=home)
    assert rejected.code == 0
    assert cachctl("approve", "m@production", *bob, registry=home).code == 3
    assert cachctl("propose", "m@production", "2", registry=home).code == 0
    approved = cachctl("approve", "m@production", "--json", *bob, registry=home)
    assert (approved.json["lacking"], approved.json["stage"]["generation"]) == ("", 2)
    assert cachctl("resolve", "m@production", registry=home).out.startswith("m/2")
    assert cachctl("verify", registry=home).code == 0


def test_a_policy_that_is_none_is_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    for text, said in (("{", "not valid"), ("{}", "not well formed"), ("[]", "not well formed")):
        file.write_text(text, encoding="utf-8")
        answer = cachctl("policy", "--set", file, registry=home)
        assert (answer.code, said in answer.err) == (2, True), answer.err
