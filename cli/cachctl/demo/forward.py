"""Forward passes over weights as they lie in a version's files: what the demo's workers run.

Which one is told by config.json: the demo's own classifier, BERT (`model_type` bert), and for any
other model a probe, which sends a fixed input through some rows of every matrix.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cachctl.demo.bert import Bert
from cachctl.demo.tensors import Array, as_float32, is_float, view_tensors
from cachctl.demo.tiny_model import ARCHITECTURE, SHARDS

Forward = Callable[[Array], Array]
"""Token ids (int32 vector) to a float32 vector."""

_PROBE_PRODUCTS = 1 << 20  # multiplications in one probe: about a millisecond


def forward_of_directory(folder: Path) -> Forward:
    """The forward pass over the original files in `folder`: the reference."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return make_forward(names, lambda name: _map(folder / name))


def make_forward(names: Iterable[str], read: Callable[[str], memoryview]) -> Forward:
    """The forward pass over a version's files; `read` gives a file's bytes, without a copy.

    Raises InvalidInput for a model that none of the passes can run."""
    files = sorted(names)
    tensors: dict[str, Array] = {}
    for name in files:
        if name.endswith(".safetensors"):
            tensors |= view_tensors(read(name))
    config = json.loads(bytes(read("config.json"))) if "config.json" in files else {}
    try:
        return _choose(config, tensors)
    except KeyError as missing:
        raise _unfit(f"its config.json and weights do not fit: {missing} is missing") from None


def _choose(config: Mapping[str, Any], tensors: Mapping[str, Array]) -> Forward:
    if config.get("architecture") == ARCHITECTURE:
        return _classifier(tensors)
    if config.get("model_type") == "bert":
        bert = Bert(config, tensors)
        bert.embed(np.zeros(1, dtype=np.int32))  # touches every tensor that it will need
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
    """One number per matrix (convolutions count as matrices), from rows spread over it."""
    matrices = [
        tensor.reshape(len(tensor), -1)
        for _, tensor in sorted(tensors.items())
        if tensor.ndim >= 2 and tensor.size and is_float(tensor)
    ]
    if not matrices:
        raise _unfit("it has no safetensors file with a matrix of floating-point numbers")
    share = _PROBE_PRODUCTS // len(matrices)
    steps = [max(1, matrix.size // max(share, matrix.shape[1])) for matrix in matrices]

    def run(ids: Array) -> Array:
        wave = np.sin(ids.astype(np.float32))
        answers = []
        for matrix, step in zip(matrices, steps, strict=True):
            rows = as_float32(matrix[::step])
            left, right = (np.resize(wave, length) for length in rows.shape)
            answers.append(left @ rows @ right)
        return np.asarray(answers, dtype=np.float32)

    return run


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def _unfit(why: str) -> Exception:
    from registry_core.errors import InvalidInput  # a worker that starts well never needs it

    return InvalidInput(f"the demo cannot run this model: {why}")
