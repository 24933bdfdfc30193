"""A worker killed between PREPARE and ready, and a node killed while it waits for one: the flip
waits for whoever is loading, and for who died over it until the deadline, as it may come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
GATED = Path(__file__).with_name("gated_worker.py")


READY_TIMEOUT_S = "10"


@pytest.fixture
def loading(rig: Rig, tmp_path: Path) -> Rig:
    """n1 serves version 1 to w1 and to `gated`; version 2 is promoted and `gated` is loading it."""
    gates = tmp_path / "gates"
    gates.mkdir()
    (gates / "1").touch()
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.promote("m@production", 1)
        rig.start_node("n1", "--ready-timeout-s", READY_TIMEOUT_S)
        rig.wait_serving("n1", 1)
        rig.start_worker("w1", "n1")
        rig.fleet.start_program(
            "gated", str(GATED), str(tmp_path / "gated.jsonl"), str(gates),
            env={"CACHD_SOCKET": str(rig.run_folder("n1") / "cachd.sock")},
        )  # fmt: skip
        for name in ("w1", "gated"):
            rig.wait_worker(name, 1, "1.0")
        registry.promote("m@production", 2)
    rig.wait(
        lambda: {"loading": 2} in rig.worker_lines("gated"), "version 2 is being loaded", "gated"
    )
    return rig


def assert_still_on_the_first(rig: Rig) -> None:
    """No host flips, and no worker answers by a version, before all that live have loaded it."""
    stage = rig.stage_on("n1")
    assert stage is not None
    assert stage["observed"]["number"] == 1
    assert stage["flip"] == 1
    for name in ("w1", "gated"):
        assert {line["number"] for line in rig.worker_lines(name) if "guard" in line} == {1}


def test_the_flip_completes_without_a_worker_killed_while_it_loads(loading: Rig) -> None:
    def w1_is_ready() -> bool:
        stage = loading.stage_on("n1")
        return stage is not None and stage["state"] == "preparing"

    loading.wait(w1_is_ready, "the node prepares", "n1")
    assert_still_on_the_first(loading)
    loading.fleet.kill("gated")
    loading.wait_worker("w1", 2, "2.0")
    stage = loading.wait_serving("n1", 2, "2.0")
    assert stage["flip"] == 2, "one flip"
    loading.assert_unharmed("w1")


def test_a_node_killed_while_a_worker_loads_takes_the_flip_up_again(
    loading: Rig, tmp_path: Path
) -> None:
    for _ in range(3):
        loading.fleet.kill("n1")
        loading.start_node("n1")

        def both_are_back() -> bool:
            stage = loading.stage_on("n1")
            return stage is not None and stage["workers"] == 2

        loading.wait(both_are_back, "both workers are back", "n1")
        assert [line["number"] for line in loading.worker_lines("gated") if "guard" in line] == [1]
    (tmp_path / "gates" / "2").touch()
    for name in ("w1", "gated"):
        loading.wait_worker(name, 2, "2.0")
    loading.wait_serving("n1", 2, "2.0")
    loading.assert_unharmed("w1")
    assert [line.get("loading") for line in loading.worker_lines("gated")].count(2) == 1, (
        "what was being loaded is not begun again"
    )
