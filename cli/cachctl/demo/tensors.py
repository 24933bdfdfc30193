"""safetensors as numpy views over a buffer, without a copy, and the few lines that write them.

numpy has no bfloat16: such a tensor is an array of BF16, which `as_float32` widens.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BF16 = np.dtype([("bfloat16", "<u2")])
_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": BF16,
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I8": np.dtype("i1"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def view_tensors(buffer: memoryview) -> dict[str, Array]:
    """Name -> read-only array over `buffer`, a whole safetensors file; types that are not in the
    table above are left out."""
    (length,) = struct.unpack_from("<Q", buffer)
    header = json.loads(bytes(buffer[8 : 8 + length]))
    data = buffer[8 + length :]
    tensors = {}
    for name, said in header.items():
        if name != "__metadata__" and said["dtype"] in _DTYPES:
            start, end = said["data_offsets"]
            flat = np.frombuffer(data[start:end], dtype=_DTYPES[said["dtype"]])
            tensors[name] = flat.reshape(said["shape"])
    return tensors


def is_float(tensor: Array) -> bool:
    return tensor.dtype == BF16 or tensor.dtype.kind == "f"


def as_float32(tensor: Array) -> Array:
    """A floating-point tensor as float32, without a copy where it is that already."""
    if tensor.dtype == BF16:  # the upper half of a float32
        wide: Array = (tensor["bfloat16"].astype(np.uint32) << 16).view(np.float32)
        return wide
    return tensor.astype(np.float32, copy=False)


def write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """A safetensors file; the header is padded so that the data is aligned to 64 bytes."""
    header: dict[str, Any] = {}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).data)
