"""ONNX Runtime and transformers on real models, by the loaders beside the libraries alone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachd.serve.client import FileRefused
from cachd.serve.leases import LeaseBook
from cachd.serve.loaders import WeightsRefused, onnxruntime_session, transformers_model
from tests.serve.loaders.conftest import open_version
from tests.serve.loaders.package_folder import need_torch, package_folder
from tests.serve.loaders.test_safetensors import mapped_file

ROOT = Path(__file__).parents[3]
MAGIKA = package_folder("magika") / "models" / "standard_v3_3"


def question(session: Any) -> dict[str, Any]:
    (said,) = session.get_inputs()
    shape = [1 if not isinstance(size, int) else size for size in said.shape]
    return {said.name: np.random.default_rng(2).integers(0, 256, shape).astype(np.int32)}


def test_onnxruntime_gives_what_it_gives_alone() -> None:
    import onnxruntime

    book = LeaseBook()
    session = onnxruntime_session(open_version(MAGIKA, book), providers=["CPUExecutionProvider"])
    alone = onnxruntime.InferenceSession(MAGIKA / "model.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(
        session.run(None, question(alone))[0], alone.run(None, question(alone))[0]
    )
    gc.collect()
    assert [held.handle for held in book.announce()] == [1]  # the session keeps it
    del session
    gc.collect()
    assert book.announce() == []


def test_which_onnx_file_it_is(tmp_path: Path) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(WeightsRefused, match=r"no \.onnx file, only readme\.md"):
        onnxruntime_session(open_version(tmp_path))
    (tmp_path / "onnx").mkdir()
    for name in ("onnx/a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes((MAGIKA / "model.onnx").read_bytes())
    with pytest.raises(WeightsRefused, match=r"say which with name='b.onnx', or another of"):
        onnxruntime_session(open_version(tmp_path))
    assert onnxruntime_session(open_version(tmp_path), "onnx/a.onnx").get_inputs()
    with pytest.raises(FileRefused):
        onnxruntime_session(open_version(tmp_path), "../a.onnx")
    version = open_version(tmp_path)
    version.path = "/nowhere"  # as in another mount namespace
    with pytest.raises(WeightsRefused, match="mount the node's cache at the same path"):
        onnxruntime_session(version, "b.onnx")


@pytest.mark.slow
def test_transformers_gives_what_it_gives_alone(minilm_folder: Path) -> None:
    need_torch("transformers")
    import torch
    from transformers import AutoModel, BertModel

    book = LeaseBook()
    version = open_version(minilm_folder, book)
    tokenizer = transformers_model(version, "AutoTokenizer")
    tokens = tokenizer("a cat sits on the mat", return_tensors="pt")
    model, named = transformers_model(version), transformers_model(version, BertModel)
    assert isinstance(named, BertModel)
    with torch.no_grad():
        theirs = AutoModel.from_pretrained(minilm_folder)(**tokens).last_hidden_state
        assert torch.equal(model(**tokens).last_hidden_state, theirs)
        assert torch.equal(named(**tokens).last_hidden_state, theirs)
    copied = [
        name for name, one in model.named_parameters()
        if not mapped_file(one.data_ptr()).endswith("/model.safetensors")
    ]  # fmt: skip
    assert copied == []
    del version, tokenizer, named
    gc.collect()
    assert [held.handle for held in book.announce()] == [1]
    del model, theirs
    gc.collect()
    assert book.announce() == []
    version = open_version(minilm_folder)
    with pytest.raises(WeightsRefused, match="is not visible in this process"):
        transformers_model(version, folder="text_encoder")


LACKING = """
import sys
from pathlib import Path
from cachd.serve.loaders import *
from tests.serve.loaders.conftest import open_version
class Version: files = {"model.safetensors": 1, "model.onnx": 1}; path = "/x"
for load in (safetensors_torch, onnxruntime_session, transformers_model, safetensors_numpy):
    try:
        load(Version())
    except LibraryMissing as error:
        print(f"{type(error).__mro__[2].__name__} {error}")
"""


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    """An interpreter with nothing but the standard library."""
    code = LACKING.replace("from tests.serve.loaders.conftest import open_version\n", "")
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout.splitlines()  # fmt: skip
    assert said == [
        f"ImportError {loader} needs {library}, which is not installed here: pip install {library}"
        for loader, library in [
            ("safetensors_torch", "torch"),
            ("onnxruntime_session", "onnxruntime"),
            ("transformers_model", "transformers"),
            ("safetensors_numpy", "numpy"),
        ]
    ]
