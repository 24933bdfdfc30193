"""Pins from the command line to the memory of nodes and the hands of workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.cachctl import cachctl
from tests.system.rig import Rig
from tests.system.test_memory import MIB, on_node, promote, push

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def standings(rig: Rig) -> dict[str, str]:
    digests = {}
    with rig.connect() as registry:
        for number in (1, 2, 3):
            digests[registry.resolve(f"m/{number}").version.digest] = f"m/{number}"
    return {digests[one["digest"]]: one["standing"] for one in on_node(rig)["memory"]}


def pin(rig: Rig, *words: str) -> Any:
    return cachctl(*words, registry=rig.url)


def test_a_pin_outlasts_grace_and_policy_until_it_ends(rig: Rig) -> None:
    push(rig, 2 * MIB, 2 * MIB, 2 * MIB)
    promote(rig, "production", 1)
    rig.start_node("n1", "--memory-budget", "5MiB", "--memory-policy", "evict", "--grace-s", "0.5")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    done = pin(rig, "pin", "m/1", "--for", "4h", "--reason", "on trial", "--json")
    assert (done.code, done.json["pins"][0]["region"]) == (0, "*"), done.err
    promote(rig, "production", 2)
    rig.wait_worker("w1", 2, "2.0")
    rig.wait(lambda: standings(rig) == {"m/1": "needed", "m/2": "needed"}, "the pin holds it", "n1")
    promote(rig, "production", 3)

    def waits() -> bool:
        stage = rig.stage_on("n1")
        return bool(stage and stage["state"] == "waiting" and "needs" in stage["detail"])

    rig.wait(waits, "the third does not fit beside it", "n1")
    assert "m/1" in pin(rig, "pins").out
    assert pin(rig, "unpin", "m/1").code == 0
    rig.wait_worker("w1", 3, "3.0")
    assert pin(rig, "unpin", "m/1").code == 3
    assert pin(rig, "pins").out == "nothing is pinned\n"
    rig.assert_unharmed("w1")


def test_what_is_pinned_is_brought_and_kept_by_workers(rig: Rig) -> None:
    push(rig, 2 * MIB, 2 * MIB, 2 * MIB)
    promote(rig, "production", 1)
    promote(rig, "production", 2)
    rig.start_node("n1", "--grace-s", "0.5")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 2, "2.0")
    assert pin(rig, "pin", "m/3", "--region", "local", "--reason", "soon").code == 0
    rig.wait(lambda: standings(rig).get("m/3") == "needed", "it is brought", "n1")
    assert pin(rig, "pin", "m@production", "--reason", "to go back to").code == 0
    promote(rig, "production", 3)
    rig.wait_worker("w1", 3, "3.0")
    rig.wait(lambda: "m/1" not in standings(rig), "what is not pinned has left", "n1")
    stage = rig.wait_serving("n1", 3)
    assert stage["standby"] is True, "the worker has it past its grace"


def test_refusals(rig: Rig) -> None:
    push(rig, MIB)
    assert pin(rig, "pin", "m/1").code == 2
    assert pin(rig, "pin", "m/9", "--reason", "x").code == 3
    assert pin(rig, "pin", "m/1", "--for", "999d", "--reason", "x").code == 2
    assert pin(rig, "pin", "m/1", "--region", "No!", "--reason", "x").code == 2
