"""The bench of loading: every system runs and reads the same, and memory is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve.loaders.package_folder import need_torch


@pytest.mark.slow
def test_it_measures(tmp_path: Path) -> None:
    need_torch()
    from bench import load

    figures = load.run(
        f"--size 17MiB --memory-size 17MiB --rounds 1 --workers 1 --dir {tmp_path}".split()
    )
    assert figures["load_ms"] < figures["load_private_ms"]
    assert figures["numpy_load_ms"] < figures["numpy_load_file_ms"]
    assert 0.99 < figures["copies"] < 1.05
    ours, private = figures["rows"]
    assert (ours["weights"], private["weights"]) == (pytest.approx(16, abs=0.1), 0)
    assert private["heap"] > ours["heap"] + 10
    assert not list(tmp_path.iterdir())
