"""What workers cost that load one version: one copy of its bytes, whatever their number."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cachd.serve.loaders import safetensors_numpy
from cachd.serve.version import Version
from tests.serve.loaders.package_folder import need_torch

MIB = 1 << 20
# Reads every byte, then says its memory once all have, and stays until told.
WORKER = """
import json, sys
from pathlib import Path
from cachd.serve.loaders import safetensors_numpy, safetensors_torch
from tests.serve.loaders.conftest import open_version
from tests.serve.loaders.test_memory import memory
load = {"numpy": safetensors_numpy, "torch": safetensors_torch}[sys.argv[1]]
tensors = load(open_version(Path(sys.argv[2])))
total = sum(float(tensor.sum()) for tensor in tensors.values())
print(json.dumps(total), flush=True)
sys.stdin.readline()
print(json.dumps(memory("/weights.safetensors")), flush=True)
sys.stdin.readline()
"""


def memory(file: str) -> tuple[int, int]:
    """Proportional and private bytes of this process in maps of the file."""
    found = [0, 0]
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(file)
        elif inside and line.startswith("Pss:"):
            found[0] += int(line.split()[1]) * 1024
        elif inside and line.startswith(("Private_Dirty:", "Anonymous:")):
            found[1] += int(line.split()[1]) * 1024
    return found[0], found[1]


@pytest.mark.parametrize(("library", "count"), [("numpy", 4), ("torch", 2)])
def test_workers_share_one_copy(tmp_path: Path, seed: int, library: str, count: int) -> None:
    if library == "torch":
        need_torch()
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    weights = {f"layer{at}": rng.standard_normal(MIB, np.float32) for at in range(16)}
    save_file(weights, tmp_path / "weights.safetensors")
    size = (tmp_path / "weights.safetensors").stat().st_size
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, library, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        )
        for _ in range(count)
    ]  # fmt: skip

    def ask(worker: subprocess.Popen[str]) -> object:
        assert worker.stdout is not None
        return json.loads(worker.stdout.readline())

    def tell(worker: subprocess.Popen[str]) -> None:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()

    try:
        totals = [ask(worker) for worker in workers]  # all have read all
        assert len(set(map(str, totals))) == 1
        seen = []
        for worker in workers:
            tell(worker)
            seen.append(ask(worker))
        proportional = sum(pss for pss, _ in seen)  # type: ignore[misc, has-type]
        print(f"{count} workers: {proportional / size:.3f} of one copy")
        assert proportional <= 1.05 * size
        assert all(private == 0 for _, private in seen)  # type: ignore[misc, has-type]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_arrays_take_no_memory_of_their_own(mixed: Version) -> None:
    assert all(not array.flags.owndata for array in safetensors_numpy(mixed).values())
