"""Forward passes over weights as they lie in a version's files: what the demo's workers run.

Which one is told by config.json: the demo's own classifier, BERT (`model_type` bert), and for any
other model a probe that multiplies a fixed input through its matrices, which at least depends on
every weight it touches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cachctl.demo.bert import Bert
from cachctl.demo.tensors import Array, view_tensors
from cachctl.demo.tiny_model import ARCHITECTURE, SHARDS
from registry_core.errors import InvalidInput

Forward = Callable[[Array], Array]
"""Token ids (int32 vector) to a float32 vector."""

_PROBE_MATRICES = 8


def forward_of_directory(folder: Path) -> Forward:
    """The forward pass over the files in `folder`, read into memory: the reference."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return make_forward(names, lambda name: memoryview((folder / name).read_bytes()))


def make_forward(names: Iterable[str], read: Callable[[str], memoryview]) -> Forward:
    """The forward pass over a version's files; `read` gives a file's bytes, without a copy."""
    files = sorted(names)
    tensors: dict[str, Array] = {}
    for name in files:
        if name.endswith(".safetensors"):
            tensors |= view_tensors(read(name))
    if not tensors:
        raise InvalidInput("the demo runs models with safetensors weights, and found none")
    config: dict[str, Any] = (
        json.loads(bytes(read("config.json"))) if "config.json" in files else {}
    )
    if config.get("architecture") == ARCHITECTURE:
        return _classifier(tensors)
    if config.get("model_type") == "bert":
        bert = Bert(config, tensors)
        return lambda ids: bert.embed(ids % bert.vocabulary)
    return _probe(tensors)


def _classifier(tensors: Mapping[str, Array]) -> Forward:
    shards = [tensors[f"embedding.{shard}"] for shard in range(SHARDS)]
    first, second = tensors["dense.0"], tensors["dense.1"]
    rows = len(shards[0])

    def run(ids: Array) -> Array:
        found = [shards[int(token) // rows % SHARDS][int(token) % rows] for token in ids]
        hidden = np.maximum(np.mean(found, axis=0, dtype=np.float32) @ first, 0)
        return np.asarray(hidden @ second, dtype=np.float32)

    return run


def _probe(tensors: Mapping[str, Array]) -> Forward:
    matrices = [t for _, t in sorted(tensors.items()) if t.ndim == 2 and t.dtype.kind == "f"]
    step = max(1, len(matrices) // _PROBE_MATRICES)
    chosen = matrices[::step][:_PROBE_MATRICES]

    def run(ids: Array) -> Array:
        answers = []
        for matrix in chosen:
            probe = np.resize(np.sin(ids.astype(np.float32)), matrix.shape[1])
            answers.append(np.tanh(matrix[:64].astype(np.float32) @ probe).sum())
        return np.asarray(answers, dtype=np.float32)

    return run
