"""A small but honest model: token embeddings, their mean, two dense layers. Made from a seed.

Version 2 is version 1 fine-tuned: both dense layers and one of the eight embedding shards differ.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cachctl.demo.tensors import Array, write_tensors

ARCHITECTURE = "cachd-demo-classifier"
SHARDS, ROWS, WIDTH, HIDDEN, CLASSES = 8, 4096, 192, 256, 16


def make_versions(folder: Path, seed: int) -> tuple[Path, Path]:
    """Two directories, about 25 MB each."""
    rng = np.random.default_rng(seed)
    first = {
        f"embedding.{shard}": rng.standard_normal((ROWS, WIDTH), dtype=np.float32)
        for shard in range(SHARDS)
    } | _dense(rng)
    second = first | _dense(rng)
    second["embedding.3"] = first["embedding.3"] + np.float32(0.01)
    return _write(folder / "v1", first), _write(folder / "v2", second)


def _dense(rng: np.random.Generator) -> dict[str, Array]:
    return {
        "dense.0": rng.standard_normal((WIDTH, HIDDEN), dtype=np.float32),
        "dense.1": rng.standard_normal((HIDDEN, CLASSES), dtype=np.float32),
    }


def _write(folder: Path, tensors: dict[str, Array]) -> Path:
    folder.mkdir(parents=True)
    write_tensors(folder / "model.safetensors", tensors)
    config = {"architecture": ARCHITECTURE, "vocabulary": SHARDS * ROWS}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
