"""The passes that workers run, against plain computations and against models they cannot run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachctl.demo.forward import forward_of_directory, make_forward
from cachctl.demo.load import same
from cachctl.demo.tensors import BF16, Array, view_tensors, write_tensors
from registry_core.errors import InvalidInput
from tests.demo.rig import QUESTIONS, Versions, digest

SEED = 7


def write_model(folder: Path, tensors: Mapping[str, Array], config: Any = None) -> Path:
    folder.mkdir(parents=True)
    write_tensors(folder / "model.safetensors", tensors)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def unknown_model() -> dict[str, Array]:
    """Nothing that the demo knows by name: mixed types, a convolution, a table with many rows."""
    rng = np.random.default_rng(SEED)
    bits = rng.standard_normal((16, 24)).astype(np.float32).view(np.uint32) >> 16
    return {
        "table": rng.standard_normal((5000, 32)).astype(np.float32),
        "half": rng.standard_normal((40, 8)).astype(np.float16),
        "brain": bits.astype("<u2").view(BF16),
        "convolution": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "bias": rng.standard_normal(8).astype(np.float32),
        "positions": np.arange(10).reshape(2, 5),
    }


@pytest.mark.parametrize("number", [1, 2])
def test_the_classifier_is_the_network_it_says_it_is(versions: Versions, number: int) -> None:
    """The same in float64, by the definition: mean of embeddings, dense, ReLU, dense."""
    path = versions.folders[number] / "model.safetensors"
    tensors = {
        name: tensor.astype(np.float64)
        for name, tensor in view_tensors(memoryview(path.read_bytes())).items()
    }
    table = np.concatenate([tensors[f"embedding.{shard}"] for shard in range(8)])
    for ids, answered in zip(QUESTIONS, versions.references[digest(number)].vectors, strict=True):
        hidden = np.maximum(table[ids].mean(axis=0) @ tensors["dense.0"], 0)
        np.testing.assert_allclose(answered, hidden @ tensors["dense.1"], rtol=1e-3, atol=1e-3)


def test_a_directory_and_buffers_answer_alike(versions: Versions) -> None:
    folder = versions.folders[1]
    names = ["config.json", "model.safetensors"]
    forward = make_forward(names, lambda name: memoryview((folder / name).read_bytes()))
    assert all(same(forward(ids), versions.forwards[1](ids)) for ids in QUESTIONS)


def test_the_probe_sees_a_change_in_any_matrix(tmp_path: Path) -> None:
    tensors = unknown_model()
    before = forward_of_directory(write_model(tmp_path / "before", tensors))
    answers = [before(ids) for ids in QUESTIONS]
    assert all(np.isfinite(answer).all() for answer in answers)
    for name in ("table", "half", "brain", "convolution"):
        tuned = dict(tensors)
        # another tensor of the same bytes, so that bfloat16 needs no arithmetic
        tuned[name] = np.ascontiguousarray(np.roll(tensors[name], 1, axis=-1))
        after = forward_of_directory(write_model(tmp_path / name, tuned))
        for ids, answer in zip(QUESTIONS, answers, strict=True):
            assert not same(after(ids), answer), name


def test_the_probe_answers_by_the_question(tmp_path: Path) -> None:
    forward = forward_of_directory(write_model(tmp_path / "model", unknown_model()))
    assert len({forward(ids).tobytes() for ids in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ({"bias": np.ones(4, dtype=np.float32)}, None, "no safetensors file with a matrix"),
        ({"ids": np.ones((4, 4), dtype=np.int64)}, {}, "no safetensors file with a matrix"),
        (
            {"dense.0": np.ones((4, 4), dtype=np.float32)},
            {"architecture": "cachd-demo-classifier"},
            "embedding.0",
        ),
        (
            {"dense": np.ones((4, 4), dtype=np.float32)},
            {"model_type": "bert"},
            "num_attention_heads",
        ),
        (
            {"dense": np.ones((4, 4), dtype=np.float32)},
            {
                "model_type": "bert",
                "num_attention_heads": 2,
                "num_hidden_layers": 1,
                "layer_norm_eps": 1e-12,
                "vocab_size": 10,
            },
            "embeddings.word_embeddings.weight",
        ),
    ],
)
def test_a_model_that_cannot_run_is_told_why(
    tmp_path: Path, tensors: Mapping[str, Array], config: Any, said: str
) -> None:
    folder = write_model(tmp_path / "model", tensors, config)
    with pytest.raises(InvalidInput, match=said):
        forward_of_directory(folder)


def test_a_directory_without_weights_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no safetensors"):
        forward_of_directory(tmp_path)
