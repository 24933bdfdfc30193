"""The bench of what versions share: the file it makes is a real one, and its sums are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from bench import dedup
from bench.dedup.weights import Weights, transformer, write_weights

SIZE = 12 << 20


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("dedup")
    figures = dedup.run(["--size", str(SIZE), "--seed", "7", "--dir", str(folder)])
    assert figures["seed"] == 7
    assert not list(folder.iterdir())
    return {row["change"]: row for row in figures["rows"]}


def test_the_file_is_as_the_reference_library_writes_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    weights = transformer(SIZE)
    write_weights(ours, Weights(weights.tensors), 7)
    save_file(load_file(ours), theirs, {"format": "pt"})
    assert ours.read_bytes() == theirs.read_bytes()
    assert len(weights.tensors) == 219


def test_only_what_changed_moves(rows: dict[str, dict[str, Any]]) -> None:
    same = rows.pop("nothing")
    assert not any(value for name, value in same.items() if name != "change")
    for row in rows.values():
        assert row["changed_bytes"] <= row["new_bytes"] <= row["pushed_bytes"]
        assert row["new_bytes"] <= row["fetched_bytes"]
        assert row["fetched_bytes"] + row["cloned_bytes"] >= SIZE // 2
    shares = [rows[f"{share} % of the tensors"]["new_share"] for share in (1, 10, 50)]
    assert 0 < shares[0] <= shares[1] <= shares[2] < 1
    for name in ("a tensor appended", "a tensor inserted", "the header grown"):
        assert rows[name]["new_share"] < 0.1
        assert rows[name]["fixed_new_share"] == 1.0
