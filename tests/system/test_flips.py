"""What holds a flip back is seen by whoever watches: reports, `cachctl status`, `/metrics`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.serve.rig import LineProcess
from tests.system.rig import Rig, eventually


@pytest.fixture
def rig(rig: Rig, tmp_path: Path) -> Rig:
    with rig.connect() as registry:
        for number in (1, 2, 3):
            model = make_model(tmp_path / f"v{number}", tensors=1, seed=number)
            (model / "warmup").mkdir()
            (model / "warmup" / "recorded.jsonl").write_text(f'{{"of": {number}}}\n7\n')
            registry.push(model, "m")
        registry.promote("m@production", 1)
    return rig


@pytest.fixture
def workers(rig: Rig, tmp_path: Path) -> Iterator[list[LineProcess]]:
    """Two that obey, once there is a node for them."""
    started: list[LineProcess] = []
    for name in ("quick", "slow"):
        (tmp_path / name).mkdir()
    yield started
    for worker in started:
        worker.kill()


def start_workers(rig: Rig, workers: list[LineProcess], tmp_path: Path) -> list[int]:
    socket = str(rig.run_folder("n1") / "cachd.sock")
    module = "tests.serve.obeying_process"
    workers.extend(
        LineProcess(module, socket, str(tmp_path / name), "m") for name in ("quick", "slow")
    )
    return [worker.read() for worker in workers]


def metric(api: str, name: str) -> float:
    with urllib.request.urlopen(f"{api}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    values = [float(line.split()[-1]) for line in lines if line.startswith(name + " ")]
    return values[0] if values else 0.0


def status(rig: Rig) -> dict[str, Any]:
    """Of the one node, as `cachctl status --json` tells it."""
    told = cachctl("status", "m", "--json", registry=rig.url)
    (node,) = json.loads(told.out)["nodes"]
    stage: dict[str, Any] = node["stages"][0]
    return stage


def promote(rig: Rig, number: int) -> None:
    with rig.connect() as registry:
        registry.promote("m@production", number)


def test_late_and_failed_loads_are_seen(
    rig: Rig, workers: list[LineProcess], tmp_path: Path
) -> None:
    said = rig.start_node("n1", "--api", "127.0.0.1:0", "--ready-timeout-s", "m@*=0.5")
    api = str(said["api"])
    rig.wait_serving("n1", 1)
    pids = start_workers(rig, workers, tmp_path)
    (tmp_path / "quick" / "2.go").touch()
    promote(rig, 2)

    eventually(lambda: status(rig)["state"] == "load-late")
    seen = status(rig)
    late = f"worker {pids[1]}: load took longer than 0.5 s"
    assert (seen["detail"], seen["policy"]) == (late, "all")
    assert (seen["workers"], seen["ready"], seen["switched"], seen["flip"]) == (2, 1, 2, 1)
    assert [(one["pid"], one["state"]) for one in seen["progress"]] == [
        (pids[1], "late"),
        (pids[0], "ready"),
    ]
    told = cachctl("status", "m", registry=rig.url).out
    assert "load-late" in told
    assert late in " ".join(told.split())
    assert metric(api, 'cachd_flips_held_back_total{reason="load-late"}') == 1
    assert metric(api, "cachd_stages_held_back") == 1
    assert [worker.ask("report")["number"] for worker in workers] == [1, 1]

    (tmp_path / "slow" / "2.go").touch()
    rig.wait_serving("n1", 2, "2.0")
    assert metric(api, "cachd_stages_held_back") == 0
    assert metric(api, 'cachd_flips_total{stage="production"}') == 2
    assert metric(api, "cachd_prepare_seconds_count") == 4
    eventually(lambda: {one.ask("report")["number"] for one in workers} == {2})
    warmed = workers[1].ask("report")["warmed"]
    assert warmed == [
        f"{number} warmup/recorded.jsonl:{line}"
        for number in (1, 2)
        for line in (f"1 {{'of': {number}}}", "2 7")
    ]

    (tmp_path / "quick" / "3.fail").touch()
    promote(rig, 3)
    eventually(lambda: status(rig)["state"] == "load-failed")
    assert status(rig)["detail"] == f"worker {pids[0]}: ValueError: told to fail"
    assert metric(api, 'cachd_flips_held_back_total{reason="load-failed"}') == 1
    with rig.connect() as registry:
        registry.rollback("m@production")
    assert rig.wait_serving("n1", 2, "3.1")["detail"] == ""
    assert {one.ask("report")["number"] for one in workers} == {2}


def test_a_quorum_and_a_spread_as_the_command_line_says(
    rig: Rig, workers: list[LineProcess], tmp_path: Path
) -> None:
    options = ("--flip-policy", "m@production=quorum:50%", "--load-at-once", "all")
    rig.start_node("n1", *options, "--warm-spread-s", "3600")
    rig.wait_serving("n1", 1)  # the first waits for no place in the spread
    start_workers(rig, workers, tmp_path)
    promote(rig, 2)
    eventually(lambda: status(rig)["state"] == "preparing")
    seen = status(rig)
    assert seen["detail"] == f"warms in {seen['warms_in_s']:.0f} s"
    assert 0 < seen["warms_in_s"] <= 3600
    assert {one["state"] for one in seen["progress"]} == {"untold"}
    rig.fleet.kill("n1")
    rig.start_node("n1", *options)
    (tmp_path / "quick" / "2.go").touch()
    eventually(lambda: (status(rig)["observed"] or {}).get("number") == 2)
    eventually(lambda: status(rig)["workers"] == 2)  # the slow one is back, too
    assert status(rig)["switched"] == 1
    assert "1 of 2 switched" in " ".join(cachctl("status", "m", registry=rig.url).out.split())
    (tmp_path / "slow" / "2.go").touch()
    eventually(lambda: status(rig)["switched"] == 2)


def test_no_file_of_a_version_is_ever_written_again(
    rig: Rig, workers: list[LineProcess], tmp_path: Path
) -> None:
    """Through flips, rollbacks, a kill of the node and its next start, which hashes all anew."""

    def files() -> dict[str, tuple[int, int, int]]:
        root = rig.folder / "n1" / "cache" / "versions"
        found = ((path, path.stat()) for path in root.rglob("*") if path.is_file())
        return {str(path): (st.st_ino, st.st_size, st.st_mtime_ns) for path, st in found}

    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    start_workers(rig, workers, tmp_path)
    first = files()
    assert len(first) > 3
    for name in ("quick", "slow"):
        (tmp_path / name / "2.go").touch()
    promote(rig, 2)
    rig.wait_serving("n1", 2)
    with rig.connect() as registry:
        registry.rollback("m@production")
    rig.wait_serving("n1", 1, "2.1")
    both = files()
    rig.fleet.kill("n1")
    rig.start_node("n1")
    rig.wait_serving("n1", 1, "2.1")
    eventually(lambda: status(rig)["standby"])
    assert files() == both
    assert first.items() <= both.items()
