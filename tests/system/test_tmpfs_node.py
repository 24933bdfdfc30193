"""A node whose versions lie in a tmpfs: workers read there, through kills, and it is cleaned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachctl.demo.fleet import DemoFailed
from cachd.memory.mounts import mount_of, unmount
from cachd.serve.client import attach
from tests.cli.cachctl import cachctl
from tests.system.rig import Rig
from tests.system.test_memory import MIB, on_node, promote, push

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs"),
]
FORM = ("--resident-form", "tmpfs", "--memory-budget", "32MiB", "--grace-s", "0.5")


@pytest.fixture
def resident(rig: Rig) -> Iterator[Path]:
    place = rig.run_folder("n1") / "resident"
    yield place
    for name in ("w1", "n1"):
        if name in rig.fleet._processes:
            rig.fleet.kill(name)
    while place.is_dir() and mount_of(place).place == place:
        unmount(place, detach=True)


@pytest.mark.slow
def test_workers_read_there_through_kills(rig: Rig, resident: Path) -> None:
    push(rig, 2 * MIB, 2 * MIB, 2 * MIB)
    promote(rig, "production", 1)
    said = rig.start_node("n1", *FORM)
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    assert mount_of(resident).kind == "tmpfs"
    with attach("m", load=lambda v: v.path, socket=said["socket"], timeout_s=20) as model:
        assert model.acquire().path.startswith(str(resident))
    promote(rig, "production", 2)
    rig.wait_worker("w1", 2, "2.0")
    if not Path("/proc/swaps").read_text(encoding="ascii").splitlines()[1:]:
        assert " locked " in cachctl("status", "m", registry=rig.url).out
    rig.fleet.kill("n1")
    promote(rig, "production", 3)
    rig.start_node("n1", *FORM)
    rig.wait_worker("w1", 3, "3.0")
    rig.assert_unharmed("w1")

    def settled() -> bool:
        told = {one["standing"] for one in on_node(rig)["memory"]}
        there = len(list((resident / "versions").iterdir()))
        return there == 2 and told <= {"needed", "rollback", "warm"}

    rig.wait(settled, "what no move leads to has left", "n1", 60)


@pytest.mark.slow
def test_it_is_unmounted_when_nobody_reads_and_by_the_other_form(rig: Rig, resident: Path) -> None:
    push(rig, MIB)
    promote(rig, "production", 1)
    rig.start_node("n1", *FORM)
    rig.wait_serving("n1", 1)
    process = rig.fleet._processes["n1"]
    process.terminate()
    process.wait(20)
    rig.fleet.kill("n1")
    assert mount_of(resident).place != resident
    rig.start_node("n1", *FORM)
    rig.wait_serving("n1", 1)
    rig.fleet.kill("n1")
    assert mount_of(resident).place == resident
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    assert mount_of(resident).place != resident
    shutil.rmtree(resident)


def test_a_folder_that_is_in_no_tmpfs_is_refused(rig: Rig, tmp_path: Path) -> None:
    if mount_of(tmp_path).kind == "tmpfs":
        pytest.skip("temporary files lie in a tmpfs here")
    with pytest.raises(DemoFailed, match="not in a tmpfs: name a directory below /dev/shm"):
        rig.start_node("n1", "--resident-form", "tmpfs", "--tmpfs", str(tmp_path / "t"))
    with pytest.raises(DemoFailed, match="say --resident-form tmpfs"):
        rig.start_node("n1", "--tmpfs", str(tmp_path / "t"))
