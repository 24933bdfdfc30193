"""Where the tensors of a safetensors file lie, from its header alone.

Format: 8 bytes little-endian header length N, N bytes of JSON, then tensor data; offsets are
relative to the data. The reference implementation refuses overlaps and holes, and so do we: a
file that passes here loads there.
"""

from __future__ import annotations

import json
import struct
from operator import itemgetter
from typing import Any

from registry_core.domain import limits
from registry_core.errors import InvalidModelFiles

PREFIX_BYTES = 8
_DIMENSIONS_MAX = 64  # numpy's bound
_FIELDS = itemgetter("dtype", "shape", "data_offsets")
_DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def header_bytes(prefix: bytes, size: int) -> int:
    """Bytes of prefix and header together, from the first 8 bytes of a file of `size` bytes."""
    if len(prefix) < PREFIX_BYTES:
        raise InvalidModelFiles("is too short to be safetensors: the header is missing")
    (length,) = struct.unpack_from("<Q", prefix)
    if length > limits.SAFETENSORS_HEADER_MAX or PREFIX_BYTES + length > size:
        raise InvalidModelFiles(
            f"has a damaged safetensors header: it claims {length} bytes in a file of {size}"
        )
    return int(PREFIX_BYTES + length)


def tensor_spans(header: bytes, size: int) -> list[tuple[int, int]]:
    """(start, end) in the file of each tensor, in order, covering all after the header.

    `header` is the prefix and the JSON; `size` the length of the file in bytes.
    """
    tensors = _parse_header(header[PREFIX_BYTES:])
    spans = sorted(_span(name, tensor) for name, tensor in tensors.items())
    end = 0
    for start, stop in spans:
        if start != end:
            raise InvalidModelFiles(
                "has a damaged safetensors header: tensors overlap or leave gaps"
            )
        end = stop
    base = len(header)
    if base + end > size:
        raise InvalidModelFiles(
            f"is truncated: its tensors need {base + end} bytes and it has {size}; copy it again"
        )
    if base + end < size:
        raise InvalidModelFiles(f"has {size - base - end} bytes after its last tensor")
    return [(base + start, base + stop) for start, stop in spans if stop > start]


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_object,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
        if b"\\u" in text:
            json.dumps(header, ensure_ascii=False).encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError) as error:
        raise InvalidModelFiles(f"has a damaged safetensors header: {error}") from error
    if not isinstance(header, dict) or text[:1] != b"{" or len(header) > limits.TENSORS_MAX:
        raise InvalidModelFiles("has a damaged safetensors header: not an object of tensors")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidModelFiles("has a damaged safetensors header: metadata that is not text")
    return header


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _refuse(text: str) -> Any:
    raise ValueError(f"{text!r:.40} where a whole number belongs")


def _span(name: str, tensor: Any) -> tuple[int, int]:
    try:
        dtype, shape, (start, end) = _FIELDS(tensor)
        bits = _DTYPE_BITS[dtype]
        _natural(start), _natural(end)
        bits *= _product(shape)
        _natural(3 - len(tensor))  # nothing beside the three
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidModelFiles(
            f"has a damaged safetensors header: tensor {name!r:.80} is not described"
        ) from error
    if bits != (end - start) * 8:
        raise InvalidModelFiles(
            f"has a damaged safetensors header: tensor {name!r:.80} has {end - start} bytes "
            f"where its shape needs {bits // 8}"
        )
    return start, end


def _product(shape: Any) -> int:
    if type(shape) is not list or len(shape) > _DIMENSIONS_MAX:
        raise ValueError(shape)
    product = 1
    for dimension in shape:
        product = _natural(product * _natural(dimension))
    return product


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.FILE_MAX:
        raise ValueError(value)
    return value
