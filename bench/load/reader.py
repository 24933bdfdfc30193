"""A worker process: loads when told, by JSON lines. `python -m bench.load.reader SOCKET FILE`."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

from bench.hot_path import MODEL
from bench.load.memory import memory_mb
from cachd.serve.client import attach
from cachd.serve.loaders import safetensors_numpy, safetensors_torch

torch.set_num_threads(1)  # what is read is read alike by all


def main(socket: str, path: str) -> None:
    kept: list[Any] = []
    systems: dict[str, Callable[[], Any]] = {
        "torch_ours": lambda: safetensors_torch(kept[0]),
        "torch_load_file": lambda: safetensors.torch.load_file(path),
        "torch_private": lambda: safetensors.torch.load_file(path, backend="pread"),
        "numpy_ours": lambda: safetensors_numpy(kept[0]),
        "numpy_load_file": lambda: safetensors.numpy.load_file(path),
    }
    np.zeros(1).sum(), torch.zeros(1).sum()
    print(json.dumps("started"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request == "memory":
            print(json.dumps(memory_mb(path)), flush=True)
            continue
        kept.clear()
        gc.collect()
        with attach(MODEL, load=lambda version: version, socket=socket) as model:
            kept.append(model.acquire().value)
            print(json.dumps(timed(systems[request], kept)), flush=True)


def timed(load: Callable[[], Any], kept: list[Any]) -> dict[str, float]:
    """Milliseconds to the tensors, and from there to every byte read once."""
    began_ns = time.perf_counter_ns()
    tensors = load()
    loaded_ns = time.perf_counter_ns()
    total = sum(float(tensor.sum()) for tensor in tensors.values())
    read_ns = time.perf_counter_ns()
    kept.append(tensors)
    return {
        "load_ms": (loaded_ns - began_ns) / 1e6,
        "read_ms": (read_ns - loaded_ns) / 1e6,
        "total": round(total, 3),
    }


if __name__ == "__main__":
    main(*sys.argv[1:3])
