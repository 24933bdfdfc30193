"""Against the reference library, in both directions."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cachctl.demo.tensors import BF16, Array, as_float32, is_float, view_tensors, write_tensors

TENSORS: dict[str, Array] = {
    "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3),
    "double": np.array([1e300]),
    "ids": np.array([[1, -2]], dtype=np.int64),
    "flags": np.array([True, False]),
    "scalar": np.array(7, dtype=np.int32),
    "none": np.empty((0, 5), dtype=np.float32),
}


def test_the_reference_library_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    write_tensors(path, TENSORS)
    read = load_file(path)
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_we_read_what_the_reference_library_writes(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file(TENSORS, path, metadata={"format": "np"})
    read = view_tensors(memoryview(path.read_bytes()))
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype
        np.testing.assert_array_equal(read[name], tensor)


def test_tensors_are_views_nobody_can_write(tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    write_tensors(path, TENSORS)
    buffer = memoryview(path.read_bytes())
    read = view_tensors(buffer)
    whole = np.frombuffer(buffer, dtype=np.uint8)
    assert all(np.shares_memory(whole, tensor) for tensor in read.values() if tensor.size)
    with pytest.raises(ValueError, match="read-only"):
        read["matrix"][0, 0] = 1


def test_bfloat16_is_widened() -> None:
    """1, -2, 0.15625, the largest finite number and infinity, as bfloat16."""
    data = struct.pack("<5H", 0x3F80, 0xC000, 0x3E20, 0x7F7F, 0x7F80)
    said = {"b": {"dtype": "BF16", "shape": [5, 1], "data_offsets": [0, 10]}}
    header = json.dumps(said).encode()
    tensor = view_tensors(memoryview(struct.pack("<Q", len(header)) + header + data))["b"]
    assert tensor.dtype == BF16
    assert is_float(tensor)
    wide = as_float32(tensor)
    assert wide.dtype == np.float32
    largest = (2 - 2**-7) * 2.0**127
    assert wide.ravel().tolist() == [1.0, -2.0, 0.15625, largest, float("inf")]


def test_float32_is_not_copied() -> None:
    tensor = TENSORS["matrix"]
    assert as_float32(tensor) is tensor
    assert not is_float(TENSORS["ids"])
