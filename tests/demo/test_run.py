"""`cachctl demo` as people run it: a process, with all that it starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachctl.demo.tensors import write_tensors
from tests.demo.rig import processes_of, until

WITHIN_S = 120
# Tests that run in the background, or under nohup, hand down signals that are ignored.
DEMO = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "cachctl", "demo", *sys.argv[1:]])
"""


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DEMO, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the last line as JSON, and standard error."""
    process = start("--json", *words)
    try:
        out, said = process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
    print(said)
    return process.returncode, json.loads(out.splitlines()[-1]), said


def write_model(folder: Path, seed: int, tuned: bool) -> Path:
    """12 MiB that no pass of the demo knows by name; tuned: one tensor in twelve differs."""
    rng = np.random.default_rng(seed)
    tensors = {f"block.{n}": rng.standard_normal((512, 512), dtype=np.float32) for n in range(12)}
    if tuned:
        tensors["block.7"] = tensors["block.7"] * np.float32(1.1)
    folder.mkdir()
    write_tensors(folder / "weights.safetensors", tensors)
    return folder


@pytest.mark.slow
def test_it_runs_a_model_of_yours_and_leaves_nothing_but_files(tmp_path: Path) -> None:
    """Timing is not asserted here: the machine that runs tests may be busy. With this seed, one of
    the first 64 questions happens to be answered alike by both versions."""
    one = write_model(tmp_path / "one", 3, tuned=False)
    two = write_model(tmp_path / "two", 3, tuned=True)
    workdir = tmp_path / "work"
    code, figures, said = run(
        "--model", str(one), str(two), "--workdir", str(workdir), "--requests-per-second", "250",
        "--seed", "6",
    )  # fmt: skip
    assert code == 0, said
    assert figures["failed"] == figures["wrong"] == 0
    assert figures["complaints"] == []
    assert figures["retried"] > 0, "a worker was killed under load"
    assert figures["rollback_ms"] >= figures["rollback_ms_median"] > 0
    assert figures["v2_bytes_total"] > 12e6
    assert len(figures["v2_bytes_moved_per_node"]) == 3
    for moved in figures["v2_bytes_moved_per_node"].values():
        assert 0 < moved < 3e6
    assert figures["bytes_local"] > figures["v2_bytes_total"]
    assert processes_of(workdir) == []
    assert (workdir / "registry" / "root.json").exists(), "a given directory is kept"


def test_versions_that_answer_alike_are_refused(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one", 3, tuned=False)
    two = write_model(tmp_path / "two", 3, tuned=False)
    (two / "notes.txt").write_text("only this differs", encoding="utf-8")
    workdir = tmp_path / "work"
    code, last, said = run("--model", str(one), str(two), "--workdir", str(workdir))
    assert code != 0
    assert last["error"]["code"] == "demo_failed"
    assert "a mix could not be seen" in said
    assert processes_of(workdir) == []


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    code, last, said = run("--workdir", str(tmp_path))
    assert code == 2
    assert last["error"]["code"] == "usage"
    assert "is not empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    workdir = tmp_path / "work"
    process = start("--workdir", str(workdir))
    try:
        until(lambda: bool(processes_of(workdir / "registry")), "an authority runs", WITHIN_S)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert processes_of(workdir) == []
