"""Formats by name and by content. Pickles are made by pickle and, in their ways, by others."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from typing import Any

import numpy as np
import pytest

from registry_core.domain.formats import OTHER, PICKLE, format_of_content, format_of_name

OBJECTS: list[Any] = [
    {"weights": [1.0, 2.0]}, [1, 2], [], {}, (1, "a"), slice(1, 2), {"a": {"b": [1]}}, object,
    np.arange(4), complex(1, 2), range(3), Exception("x"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", OBJECTS, ids=lambda value: type(value).__name__)
def test_a_pickle_under_any_name(value: Any, protocol: int) -> None:
    """Whatever could run code when it is loaded: containers and objects of every protocol."""
    assert format_of_content(pickle.dumps(value, protocol)) == PICKLE


def test_a_torch_archive() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"a": 1}))
        archive.writestr("model/data/0", bytes(64))
    assert format_of_content(made.getvalue()) == PICKLE


def test_other_archives_are_zip() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("readme.txt", "x")
    assert format_of_content(made.getvalue()) == "zip"


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", OTHER), (b"GGUF\x03\0\0\0", "gguf"), (b"\x89HDF\r\n\x1a\n", "hdf5"),
        (b"\x93NUMPY\x01\0", "numpy"), (b"\x7fELF\x02", "native-code"), (b"hello world\n", OTHER),
        (b'{"a": 1}', OTHER), (b"[1, 2]\n", OTHER), (b"PK\x03\x04", "zip"), (bytes(600), OTHER),
        (b"(some text)", OTHER), (b"the\ncat\nsat", OTHER), (b"]\n", OTHER),
    ],
)  # fmt: skip
def test_content(head: bytes, expected: str) -> None:
    assert format_of_content(head) == expected
    assert format_of_content(memoryview(head)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.safetensors", "safetensors"), ("a/b/Model.ONNX", "onnx"), ("config.json", "json"),
        ("model.pkl", PICKLE), ("x.tar/model.PT", PICKLE), ("pytorch_model.bin", None),
        ("weights", None), ("json", None), ("a.json/weights", None), (".json", "json"),
    ],
)  # fmt: skip
def test_names(path: str, expected: str | None) -> None:
    assert format_of_name(path) == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_is_longer_than_what_is_looked_at(protocol: int) -> None:
    assert format_of_content(pickle.dumps([b"x" * 5000, "y" * 5000], protocol)) == PICKLE
    assert format_of_content(pickle.dumps(list(range(5000)), protocol)) == PICKLE


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pickletools")
def test_random_bytes_and_text_are_seldom_taken_for_pickle(seed: int) -> None:
    rng = random.Random(seed)
    words = ["the", "model", "weights", "of", "a", "network", "0.25", "\n", "{", "}", "(x)"]
    heads = [rng.randbytes(rng.randrange(1, 4096)) for _ in range(2000)]
    heads += [" ".join(rng.choices(words, k=rng.randrange(1, 300))).encode() for _ in range(2000)]
    taken = [head for head in heads if format_of_content(head) == PICKLE]
    assert len(taken) < 20, taken[:3]
