"""The bench of compression: casts are right, bytes come back, noise does not shrink."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import zstd
from bench.zstd import weights
from bench.zstd.squeeze import squeeze
from cachctl.demo.tensors import as_float32, view_tensors, write_tensors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    values = {name: rng.standard_normal((300, 257), dtype=np.float32) * 0.02 for name in "ab"}
    values["zeros"] = np.zeros((4, 8), np.float32)
    write_tensors(tmp_path / "model.safetensors", values)
    return tmp_path / "model.safetensors"


def test_all_kinds_run(file: Path) -> None:
    figures = zstd.run(["--file", str(file), "--repeats", "1", "--chunk", "64KiB", "--seed", "1"])
    rows = {(row["weights"], row["planes"], row["level"]): row for row in figures["rows"]}
    assert {kind for kind, _, _ in rows} == weights.KINDS.keys()
    assert rows["bfloat16", 2, 3]["ratio"] > rows["bfloat16", 1, 3]["ratio"] > 1.1
    noise = rows["random bytes", 1, 3]
    assert noise["ratio"] == pytest.approx(1, abs=0.01)
    assert all(row["fetch_pays_below_mbit_s"] > 0 for row in rows.values() if row["ratio"] > 1.01)
    assert len(figures["by_chunk"]) == 3 * len(weights.KINDS)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_casts_are_near(file: Path, tmp_path: Path, kind: str) -> None:
    before, rng = weights.read_float32(file), np.random.default_rng(1)
    weights.KINDS[kind](before, rng, tmp_path / "cast.safetensors")
    after = view_tensors(memoryview((tmp_path / "cast.safetensors").read_bytes()))
    for name, values in before.items():
        np.testing.assert_allclose(as_float32(after[name]), values, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 4096])
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_planes_come_back(length: int, planes: int) -> None:
    """`squeeze` compares what it gets back."""
    data = np.random.default_rng(length).bytes(length) + b"end"
    squeeze([data], 1, planes, 1)


def test_a_file_without_float32_says_so(tmp_path: Path) -> None:
    write_tensors(tmp_path / "i.safetensors", {"a": np.zeros(8, np.int8)})
    with pytest.raises(SystemExit, match="no tensors of float32"):
        zstd.run(["--file", str(tmp_path / "i.safetensors")])
    with pytest.raises(SystemExit):
        zstd.run(["--file", str(tmp_path / "absent.safetensors")])
