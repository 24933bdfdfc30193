"""safetensors as numpy views over a buffer, without a copy, and the few lines that write them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "I8": "i1",
    "BOOL": "?",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}


def view_tensors(buffer: memoryview) -> dict[str, Array]:
    """Name -> read-only array over `buffer`, a whole safetensors file. BF16 is left out."""
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
