"""A node with little memory: what it says while a version does not fit, and what it does then."""

from __future__ import annotations

import random
import urllib.request
from typing import Any

import pytest

from cachd.control.remote import RemoteControl
from cachd.serve.client import AttachTimeout, attach
from registry_core.domain.identifiers import ModelName
from tests.cli.cachctl import cachctl
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
MIB = 1 << 20


def push(rig: Rig, *sizes: int) -> None:
    with rig.connect() as registry:
        for number, size in enumerate(sizes):
            folder = rig.folder / f"v{number}"
            folder.mkdir()
            (folder / "weights.bin").write_bytes(random.Random(number).randbytes(size))
            registry.push(folder, "m")


def promote(rig: Rig, stage: str, number: int) -> None:
    with rig.connect() as registry:
        registry.promote(f"m@{stage}", number)


def on_node(rig: Rig, node: str = "n1") -> dict[str, Any]:
    with rig.connect() as registry:
        control = registry.control
        assert isinstance(control, RemoteControl)
        found = control.status(ModelName("m"))["nodes"]
        return next(one for one in found if one["node"] == node)


def figures(api: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{api}/metrics", timeout=10) as answer:
        rows = (line.split(" ") for line in answer.read().decode().splitlines() if line[0] != "#")
        return {name: float(value) for name, value in rows if "{" not in name}


def test_what_does_not_fit_waits_and_says_so_to_everybody(rig: Rig) -> None:
    push(rig, 2 * MIB, 2 * MIB, 2 * MIB)
    promote(rig, "production", 1)
    said = rig.start_node(
        "n1", "--memory-budget", "3MiB", "--memory-policy", "refuse", "--api", "127.0.0.1:0",
        serve="m@*",
    )  # fmt: skip
    rig.wait_serving("n1", 1)
    promote(rig, "staging", 2)

    def waits() -> bool:
        found = next((s for s in on_node(rig)["stages"] if s["stage"] == "staging"), None)
        return bool(found and found["state"] == "waiting" and "needs" in found["detail"])

    rig.wait(waits, "the stage says what it waits for", "n1")
    shown = cachctl("status", "m", registry=rig.url).out
    assert "needs 2.1 MB, 1.0 MB free of the 3.1 MB that versions may take" in shown
    with pytest.raises(AttachTimeout, match=r"waiting: needs 2\.1 MB, 1\.0 MB free"):
        attach("m", stage="staging", load=lambda _: None, socket=said["socket"], timeout_s=3)
    told = figures(said["api"])
    assert told["cachd_memory_budget_bytes"] == 3 * MIB
    assert told["cachd_memory_bytes"] == told["cachd_memory_resident_bytes"] == 2 * MIB
    (held,) = on_node(rig)["memory"]
    assert (held["standing"], held["bytes"], held["there"]) == ("needed", 2 * MIB, 2 * MIB)
    assert ("locked" if held["locked"] else "warm 100 %") in shown
    assert rig.stage_on("n1") is not None
    rig.fleet.kill("n1")
    rig.start_node("n1", "--memory-budget", "5MiB", serve="m@*")
    rig.wait(
        lambda: all(stage["state"] == "serving" for stage in on_node(rig)["stages"]),
        "both serve", "n1",
    )  # fmt: skip


def test_grace_gives_way_to_the_next_but_not_what_a_rollback_needs(rig: Rig) -> None:
    push(rig, 2 * MIB, 2 * MIB, 2 * MIB, 2 * MIB)
    promote(rig, "production", 1)
    rig.start_node("n1", "--memory-budget", "5MiB", "--grace-s", "600")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    for number in (2, 3, 4):
        promote(rig, "production", number)
        rig.wait_worker("w1", number, f"{number}.0")
    with rig.connect() as registry:
        registry.rollback("m@production")
    rig.wait_worker("w1", 3, "4.1")
    rig.assert_unharmed("w1")
    rig.wait(
        lambda: {one["standing"] for one in on_node(rig)["memory"]} == {"needed", "rollback"},
        "two versions in memory", "n1",
    )  # fmt: skip


def test_after_its_grace_a_version_is_only_warm_and_leaves_with_the_next_move(rig: Rig) -> None:
    push(rig, 2 * MIB, 2 * MIB, 4 * MIB)
    promote(rig, "production", 1)
    rig.start_node("n1", "--memory-budget", "7MiB", "--grace-s", "1", "--memory-policy", "refuse")
    rig.wait_serving("n1", 1)
    promote(rig, "production", 2)
    rig.wait_serving("n1", 2)

    def warm() -> bool:
        return "warm" in {one["standing"] for one in on_node(rig)["memory"]}

    rig.wait(warm, "the previous version is only warm", "n1")
    promote(rig, "production", 3)
    rig.wait_serving("n1", 3)
    standings = {one["bytes"]: one["standing"] for one in on_node(rig)["memory"]}
    assert standings == {4 * MIB: "needed", 2 * MIB: "rollback"}, "the first one has left"
