"""A safetensors file of random float32 tensors: the same for the same size and seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TENSOR_BYTES = 16 << 20


def write_weights(path: Path, size: int, seed: int) -> None:
    """About `size` bytes, in tensors of 16 MiB; one is in memory at a time."""
    count, item = max(1, size // TENSOR_BYTES), min(size, TENSOR_BYTES) // 4
    header = {
        f"layers.{at}.weight": {
            "dtype": "F32",
            "shape": [item],
            "data_offsets": [at * item * 4, (at + 1) * item * 4],
        }
        for at in range(count)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(count):
            file.write(rng.standard_normal(item, np.float32).data)
