"""Small real files to push: safetensors made by the reference library, and others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MIB = 1 << 20


def make_model(
    folder: Path, *, seed: int = 1, tensors: int = 6, changed: int | None = None
) -> Path:
    """A directory with a safetensors file of `tensors` times 1 MiB and a config; tensor number
    `changed` differs from what the same seed gives without."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    weights = {
        f"layer.{number}.weight": rng.standard_normal((512, 512), dtype=np.float32)
        for number in range(tensors)
    }
    if changed is not None:
        weights[f"layer.{changed}.weight"] = weights[f"layer.{changed}.weight"] + np.float32(1)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"layers": tensors}), encoding="utf-8")
    (folder / "sub").mkdir()
    (folder / "sub" / "empty.txt").touch()
    return folder
