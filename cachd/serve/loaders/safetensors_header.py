"""Where the tensors of a safetensors file lie. PURE: a buffer in, places out.

Format: u64 little-endian length N, N bytes of JSON, tensor data; offsets count from the data. What
passes here lies within the file, has the bytes that its shape needs, overlaps nothing and leaves no
hole: the rules of the reference implementation, which the registry repeats in
`registry_core.domain.safetensors_layout`, and this module because inference processes import the
standard library alone.
"""

from __future__ import annotations

from cachd.serve.errors import WeightsRefused
from cachd.serve.limits import (
    SAFETENSORS_HEADER_BYTES_MAX,
    TENSOR_DIMENSIONS_MAX,
    TENSORS_MAX,
    U63_MAX,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PREFIX_BYTES = 8
_ITEM_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


class Place:
    """One tensor: bytes `start` to `end` of the file."""

    __slots__ = ("count", "dtype", "end", "name", "shape", "start")

    def __init__(
        self, name: str, dtype: str, shape: tuple[int, ...], count: int, start: int, end: int
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.count = count
        self.start = start
        self.end = end


def tensor_places(file: memoryview, path: str) -> list[Place]:
    """All tensors of the file, in order of their bytes. WeightsRefused; `path` is for its text."""
    try:
        return _places(file)
    except _Damaged as error:
        raise WeightsRefused(
            f"{path} is not sound safetensors: {error}. It is what was pushed: write it again with "
            "the safetensors library, push it and promote that version"
        ) from error


class _Damaged(ValueError):
    pass


def _places(file: memoryview) -> list[Place]:
    if len(file) < _PREFIX_BYTES:
        raise _Damaged(f"{len(file)} bytes hold no header")
    length = int.from_bytes(file[:_PREFIX_BYTES], "little")
    base = _PREFIX_BYTES + length
    if length > SAFETENSORS_HEADER_BYTES_MAX or base > len(file):
        raise _Damaged(f"a header of {length} bytes in a file of {len(file)}")
    header = _parse(bytes(file[_PREFIX_BYTES:base]))
    places = [_place(name, said, base) for name, said in header.items() if name != "__metadata__"]
    places.sort(key=lambda place: (place.start, place.end))
    end = base
    for place in places:
        if place.start != end:
            raise _Damaged(f"tensor {place.name!r:.80} overlaps another or leaves a hole before it")
        end = place.end
    if end != len(file):
        raise _Damaged(f"its tensors end at byte {end} of {len(file)}")
    return places


def _parse(text: bytes) -> dict[str, Any]:
    import json  # imported when used, as in `wire`

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _Damaged(f"its header is no JSON ({error})") from error
    if type(header) is not dict or text[:1] != b"{" or len(header) > TENSORS_MAX:
        raise _Damaged("its header is not an object of tensors")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Damaged("its header has a name twice")
    return made


def _place(name: str, said: Any, base: int) -> Place:
    try:
        dtype, shape, (start, end) = said["dtype"], said["shape"], said["data_offsets"]
        bits, count = _ITEM_BITS[dtype], _count(shape)
        _natural(start), _natural(end)
    except (KeyError, TypeError, ValueError) as error:
        raise _Damaged(f"tensor {name!r:.80} is not described") from error
    if end < start or bits * count != (end - start) * 8:
        raise _Damaged(
            f"tensor {name!r:.80} has {end - start} bytes where its shape needs {bits * count // 8}"
        )
    return Place(name, dtype, tuple(shape), count, base + start, base + end)


def _count(shape: Any) -> int:
    if type(shape) is not list or len(shape) > TENSOR_DIMENSIONS_MAX:
        raise ValueError(shape)
    count = 1
    for dimension in shape:
        count = _natural(count * _natural(dimension))
    return count


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= U63_MAX:
        raise ValueError(value)
    return value
