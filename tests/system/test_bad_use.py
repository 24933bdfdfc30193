"""What a worker is told that asks for what is not there, by real daemons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.client import AttachTimeout, NotAllowed, attach
from tests.system.rig import Rig


def test_a_worker_is_told_what_is_missing(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(b"\1" * 1000)
    with rig.connect() as registry:
        registry.push(tmp_path / "model", "fraud")
        registry.promote("fraud@production", 1)
    uid = os.geteuid()
    rig.start_node(
        "n1", "--allow-uid", f"{uid}=*@production,*@canary", "--allow-uid", f"{uid + 1}=*@*",
        serve="fraud@production",
    )  # fmt: skip
    rig.wait_serving("n1", 1, model="fraud")
    socket = str(rig.run_folder("n1") / "cachd.sock")

    def attached(model: str, stage: str) -> Any:
        return attach(model, stage=stage, load=lambda v: v.number, socket=socket, timeout_s=1)

    with attached("fraud", "production") as model:
        assert model.acquire().value == 1
    with pytest.raises(AttachTimeout, match=r"there is no model fruad in the registry, as this"):
        attached("fruad", "production")
    with pytest.raises(
        AttachTimeout,
        match=r"fraud has no version in stage canary yet \(it has production\).*cachctl promote",
    ):
        attached("fraud", "canary")
    with pytest.raises(NotAllowed, match=f"uid {uid} may not attach to fraud@staging"):
        attached("fraud", "staging")


def test_a_wrong_option_ends_the_daemon_with_a_word(rig: Rig) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "cachd.main", "node", "--authority", rig.url, "--data", "x"),
            *("--root", "root.json", "--allow-uid", "1000"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "'1000' is not UID=NAME@STAGE" in ended.stderr
