"""kill -9 of a committing process: every acknowledged generation is there, and the ledger sound."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import registry_core
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger.check import check_ledger

KILLS = 6


@pytest.mark.timeout(120)
def test_acknowledged_is_durable(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    home = tmp_path / "registry"
    with registry_core.init(home) as registry:
        for content in (b"one", b"two"):
            (tmp_path / "files").mkdir(exist_ok=True)
            (tmp_path / "files" / "w").write_bytes(content)
            registry.push(tmp_path / "files", "m")
    acknowledged = 0
    for _ in range(KILLS):
        acknowledged = max(acknowledged, _commit_and_kill(home, rng.randrange(1, 40)))
        with registry_core.open(home) as registry:
            generation = registry.stages("m")[0].generation
            assert acknowledged <= generation <= acknowledged + 1
            assert isinstance(registry.control, EmbeddedControl)
            with registry.control.ledger.read() as txn:
                assert check_ledger(txn).problems == []
        acknowledged = generation


def _commit_and_kill(home: Path, lines: int) -> int:
    """The last generation that the process told before it was killed, or as it was."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.committing_process", str(home)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().splitlines()
    process.wait()
    whole = [int(line) for line in told if line.strip()]
    assert len(whole) >= lines, "the process ended by itself"
    return whole[-1]
