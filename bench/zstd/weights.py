"""Real weights in several types: each a safetensors file, cut by the product's chunker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from cachctl.demo.tensors import BF16, Array, view_tensors, write_tensors
from registry_core.domain import safetensors_layout
from registry_core.domain.safetensors_layout import PREFIX_BYTES
from registry_core.push.layout import spans_of

Weights = Mapping[str, Array]
Kind = Callable[[Weights, np.random.Generator, Path], int]
"""Writes the weights as one type to a file; the bytes of an item."""


def read_float32(path: Path) -> Weights:
    """The float32 tensors of a safetensors file; SystemExit if it has none."""
    tensors = view_tensors(memoryview(path.read_bytes()))
    found = {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float32}
    if not found:
        raise SystemExit(f"bench zstd: {path} has no tensors of float32: name another --file")
    return found


def chunks_of(path: Path, chunk_bytes: int) -> list[bytes]:
    """What the file is cut into, without its header, which is text and no weights."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = safetensors_layout.header_bytes(file.read(PREFIX_BYTES), size)
        spans = spans_of(file.fileno(), path.name, size, chunk_bytes)
        file.seek(header_bytes)
        return [file.read(end - start) for start, end in spans if start >= header_bytes]


def _float32(values: Array) -> Array:
    return values


def _float16(values: Array) -> Array:
    return values.astype(np.float16)


def _bfloat16(values: Array) -> Array:
    """The upper halves, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype("<u2").view(BF16)


def _int8(values: Array) -> Array:
    """Symmetric, a scale for each row, as common quantisers do; the scales are left out."""
    most = np.abs(values).max(axis=-1, keepdims=True)
    scale = np.where(most == 0, np.float32(1), most / 127)
    return np.rint(values / scale).astype(np.int8)


def _cast(cast: Callable[[Array], Array], weights: Weights, _: object, path: Path) -> int:
    tensors = {name: cast(values) for name, values in weights.items()}
    write_tensors(path, tensors)
    return next(iter(tensors.values())).itemsize


def _noise(weights: Weights, rng: np.random.Generator, path: Path) -> int:
    tensors = {
        name: rng.integers(0, 256, values.shape, np.uint8) for name, values in weights.items()
    }
    write_tensors(path, tensors)
    return 1


KINDS: dict[str, Kind] = {
    "float32": partial(_cast, _float32),
    "bfloat16": partial(_cast, _bfloat16),
    "float16": partial(_cast, _float16),
    "int8": partial(_cast, _int8),
    "random bytes": _noise,
}
