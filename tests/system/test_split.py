"""A canary by request on real processes: authority, node, two workers, kills in between."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from cachd.control.remote import RemoteControl
from registry_core.domain.identifiers import ModelName
from registry_core.errors import Stale
from registry_core.registry import Registry
from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
STAGE = "m@production"
WORKER = str(Path(__file__).with_name("split_worker.py"))
ROOT = str(Path(__file__).parents[2])


def start_worker(rig: Rig, name: str) -> None:
    rig.fleet.start_program(
        name, WORKER, str(rig.folder / f"{name}.jsonl"), "m", "production",
        env={"CACHD_SOCKET": str(rig.run_folder("n1") / "cachd.sock"), "PYTHONPATH": ROOT},
    )  # fmt: skip


def users_of(rig: Rig, name: str, guard: str) -> list[int] | None:
    """Which version each user has, by a worker's last word, if that is under this guard."""
    said = [line for line in rig.worker_lines(name) if "guard" in line]
    return said[-1]["numbers"] if said and said[-1]["guard"] == guard else None


def await_split(rig: Rig, guard: str, per_mille: int) -> list[int]:
    """Until both workers split so; which version each user has, the same in both."""

    def splits() -> bool:
        stage = rig.stage_on("n1")
        observed = stage["observed"] if stage else None
        if stage is None or observed is None or stage["state"] != "serving":
            return False
        at = f"{observed['generation']}.{observed['choice']}"
        return bool((at, observed["split"]) == (guard, per_mille))

    rig.wait(splits, f"a split of {per_mille} under {guard}", "n1")

    def agree() -> bool:
        first, second = users_of(rig, "w1", guard), users_of(rig, "w2", guard)
        return first is not None and first == second and (2 in first) == bool(per_mille)

    rig.wait(agree, f"both workers say the same under {guard}", "w1")
    numbers = users_of(rig, "w1", guard)
    assert numbers is not None
    return numbers


def requests_told(rig: Rig) -> dict[int, dict[str, Any]]:
    stage = rig.stage_on("n1")
    return {one["number"]: one for one in stage["requests"]} if stage else {}


def assert_unharmed(rig: Rig, *names: str) -> None:
    for name in names:
        rig.assert_unharmed(name)


@pytest.fixture
def registry(rig: Rig, tmp_path: Path) -> Any:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1", tensors=2), "m")
        registry.push(make_model(tmp_path / "v2", tensors=2, changed=1), "m")
        registry.promote(STAGE, 1)
        yield registry


def test_a_canary_from_ten_percent_to_all(rig: Rig, registry: Registry) -> None:
    api = rig.start_node("n1", "--api", "127.0.0.1:0")["api"]
    for name in ("w1", "w2"):
        start_worker(rig, name)
    rig.wait_serving("n1", 1, "1.0")
    assert registry.promote(STAGE, 2, split=10).split == 100
    ten = await_split(rig, "2.1", 100)
    assert 1 in ten
    with pytest.raises(Stale):
        registry.split(STAGE, 50, expect="2.0")

    rig.fleet.kill("w2")
    start_worker(rig, "w2")
    rig.fleet.kill("n1")
    api = rig.start_node("n1", "--api", "127.0.0.1:0")["api"]
    registry.split(STAGE, 50, expect="2.1")
    fifty = await_split(rig, "2.3", 500)
    assert all(later == 2 for first, later in zip(ten, fifty, strict=True) if first == 2)
    assert 1 in fifty

    rig.wait(lambda: set(requests_told(rig)) == {1, 2}, "both versions are told of", "n1")
    told = requests_told(rig)
    assert (told[1]["failed"], told[2]["failed"]) == (0, told[2]["requests"])
    assert 0 < told[2]["p50_ms"] <= told[2]["p95_ms"]
    with urllib.request.urlopen(f"{api}/metrics", timeout=10) as answer:
        figures = answer.read().decode()
    labels = 'model="m",outcome="failed",stage="production",version="2"'
    (line,) = [x for x in figures.splitlines() if "worker_requests_total" in x and labels in x]
    assert float(line.split()[-1]) >= told[2]["failed"]
    assert 'cachd_worker_request_duration_seconds_bucket{le="0.001",model="m"' in figures
    shown = cachctl("status", "m", registry=rig.url)
    assert "1, 50% to 2" in shown.out, shown.err
    assert "(100.00%)" in shown.out

    registry.rollback(STAGE, reason="every request failed")
    assert set(await_split(rig, "2.5", 0)) == {1}
    registry.split(STAGE, 99.9)
    await_split(rig, "2.7", 999)
    registry.split(STAGE, 100)
    rig.wait_serving("n1", 2, "2.8")
    rig.wait(lambda: set(users_of(rig, "w1", "2.8") or []) == {2}, "all users", "w1")
    assert_unharmed(rig, "w1", "w2")
    control = registry.control
    assert isinstance(control, RemoteControl)
    assert control.status(ModelName("m"))["stages"][0]["split"] == 0


def test_a_local_rollback_ends_a_split_here(rig: Rig, registry: Registry) -> None:
    rig.start_node("n1")
    for name in ("w1", "w2"):
        start_worker(rig, name)
    rig.wait_serving("n1", 1, "1.0")
    registry.promote(STAGE, 2, split=50)
    await_split(rig, "2.1", 500)
    rig.fleet.kill("authority")
    local = ("rollback", STAGE, "--local", "--run", rig.run_folder("n1"))
    back = cachctl(*local)
    assert back.code == 0, back.err
    rig.wait(lambda: set(users_of(rig, "w1", "2.3") or []) == {1}, "previous for all", "w1")
    undone = cachctl(*local, "--undo")
    assert undone.code == 0, undone.err
    rig.wait(lambda: 2 in (users_of(rig, "w1", "2.1") or []), "split as before", "w1")
    rig.start_authority()
    await_split(rig, "2.1", 500)
    assert_unharmed(rig, "w1", "w2")
