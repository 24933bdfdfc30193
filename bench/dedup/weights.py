"""A transformer's weights as a safetensors file: 24 layers, float16, laid out as the reference
library does (tensors sorted by name, the header padded to 8 bytes), made from a seed."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

_LAYERS, _VOCABULARY = 24, 32_000
_WIDTH_STEP = 64
_ITEM_BYTES = 2

BYTES_MIN = 8 << 20


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of float16. The same name and revision have the same values under one seed."""

    name: str
    shape: tuple[int, ...]
    revision: int = 0

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file holds: tensors sorted by name, and the header's metadata."""

    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str] = field(default_factory=lambda: {"format": "pt"})


def transformer(bytes_about: int) -> Weights:
    """The transformer whose width makes its file come nearest to so many bytes."""
    candidates = (_of_width(width) for width in range(_WIDTH_STEP, 1 << 14, _WIDTH_STEP))
    return min(candidates, key=lambda weights: abs(_bytes_of(weights) - bytes_about))


def write_weights(path: Path, weights: Weights, seed: int) -> None:
    """Write the file, a tensor in memory at a time."""
    with path.open("wb") as file:
        file.write(_header(weights))
        for tensor in weights.tensors:
            rng = np.random.default_rng([seed, tensor.revision, zlib.crc32(tensor.name.encode())])
            values = rng.standard_normal(math.prod(tensor.shape), dtype=np.float32)
            file.write((values * np.float32(0.02)).astype("<f2").data)


def _of_width(width: int) -> Weights:
    inner = 8 * width // 3 // _WIDTH_STEP * _WIDTH_STEP
    square, norm = (width, width), (width,)
    of_layer = {
        "self_attn.q_proj": square, "self_attn.k_proj": square, "self_attn.v_proj": square,
        "self_attn.o_proj": square, "mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner), "input_layernorm": norm, "post_attention_layernorm": norm,
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens": (_VOCABULARY, width),
        "lm_head": (_VOCABULARY, width),
        "model.norm": norm,
    }
    for layer in range(_LAYERS):
        shapes |= {f"model.layers.{layer}.{part}": shape for part, shape in of_layer.items()}
    return Weights(tuple(Tensor(f"{name}.weight", shapes[name]) for name in sorted(shapes)))


def _bytes_of(weights: Weights) -> int:
    return sum(tensor.bytes for tensor in weights.tensors)


def _header(weights: Weights) -> bytes:
    said: dict[str, object] = {"__metadata__": dict(weights.metadata)}
    offset = 0
    for tensor in weights.tensors:
        end = offset + tensor.bytes
        said[tensor.name] = {
            "dtype": "F16", "shape": tensor.shape, "data_offsets": [offset, end],
        }  # fmt: skip
        offset = end
    text = json.dumps(said, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
