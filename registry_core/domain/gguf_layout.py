"""Where the tensors of a GGUF file lie (ggml `docs/gguf.md`, versions 2 and 3, little-endian).

The header holds key-value metadata of self-described length, then tensor infos, then padding to
`general.alignment`, then tensor data. Only what is needed to find boundaries is parsed; each
tensor runs to the start of the next one, padding included.
"""

from __future__ import annotations

import itertools
import struct

from registry_core.domain import limits
from registry_core.errors import InvalidModelFiles

MAGIC = b"GGUF"
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _UINT32 = 8, 9, 4
# Tensor type -> (weights in a block, bytes of a block), as ggml.h has them. A type that is not here
# is newer than this table: where its tensor ends is then not checked.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110),
    22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class HeaderIncomplete(Exception):
    """The header goes on beyond the bytes at hand: call again with more of the file."""


class _Reader:
    """A cursor over the head of the file that refuses to run past it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise HeaderIncomplete

    def u32(self) -> int:
        self.skip(4)
        return int(struct.unpack_from("<I", self.data, self.at - 4)[0])

    def u64(self, bound: int, what: str) -> int:
        self.skip(8)
        (value,) = struct.unpack_from("<Q", self.data, self.at - 8)
        if value > bound:
            raise InvalidModelFiles(f"has a damaged GGUF header: {value} {what}")
        return int(value)

    def text(self) -> bytes:
        length = self.u64(limits.GGUF_STRING_MAX, "bytes in a string")
        self.skip(length)
        return self.data[self.at - length : self.at]

    def value(self, kind: int, depth: int = 0) -> None:
        if kind in _SCALAR_BYTES:
            self.skip(_SCALAR_BYTES[kind])
        elif kind == _STRING:
            self.text()
        elif kind == _ARRAY and depth < 4:
            item, count = self.u32(), self.u64(limits.GGUF_ARRAY_MAX, "items in an array")
            if item in _SCALAR_BYTES:
                self.skip(count * _SCALAR_BYTES[item])
            else:
                for _ in range(count):
                    self.value(item, depth + 1)
        else:
            raise InvalidModelFiles(f"has a damaged GGUF header: value of unknown type {kind}")


def tensor_spans(head: bytes, size: int) -> tuple[int, list[tuple[int, int]]]:
    """(header bytes, [(start, end) of each tensor]) from the first bytes of a file of `size`.

    Raises HeaderIncomplete when `head` is too short to tell and the file has more.
    """
    try:
        data_start, tensors = _parse(_Reader(head))
    except HeaderIncomplete:
        if len(head) >= min(size, limits.GGUF_HEADER_MAX):
            raise InvalidModelFiles("is truncated within its GGUF header") from None
        raise
    end = data_start + max((start + length for start, length in tensors), default=0)
    if tensors and end > size:
        raise InvalidModelFiles(
            f"is truncated: its tensors need {end} bytes and it has {size}; copy it again"
        )
    starts = sorted({data_start + start for start, length in tensors if length})
    if starts and starts[0] != data_start:
        raise InvalidModelFiles("has a damaged GGUF header: its first tensor is not at the start")
    if not starts and data_start < size:
        starts = [data_start]
    return min(data_start, size), list(itertools.pairwise([*starts, size]))


def _parse(reader: _Reader) -> tuple[int, list[tuple[int, int]]]:
    """Where tensor data starts, and (start from there, bytes) of each tensor."""
    reader.skip(4)
    if reader.data[:4] != MAGIC or reader.u32() not in (2, 3):
        raise InvalidModelFiles("is not GGUF version 2 or 3")
    tensors = reader.u64(limits.TENSORS_MAX, "tensors")
    pairs = reader.u64(limits.GGUF_KV_MAX, "metadata keys")
    alignment = 32
    for _ in range(pairs):
        key, kind = reader.text(), reader.u32()
        at = reader.at
        reader.value(kind)
        if key == b"general.alignment" and kind == _UINT32:
            (alignment,) = struct.unpack_from("<I", reader.data, at)
    if alignment == 0 or alignment % 8 or alignment > 1 << 20:
        raise InvalidModelFiles(f"has a damaged GGUF header: alignment {alignment}")
    places = [_tensor_place(reader, alignment) for _ in range(tensors)]
    return -(-reader.at // alignment) * alignment, places


def _tensor_place(reader: _Reader, alignment: int) -> tuple[int, int]:
    reader.text()
    dimensions = reader.u32()
    if dimensions > 8:
        raise InvalidModelFiles(f"has a damaged GGUF header: a tensor of {dimensions} dimensions")
    weights = 1
    for _ in range(dimensions):
        weights *= reader.u64(limits.FILE_MAX, "weights in a dimension")
    weights_in_block, block_bytes = _BLOCKS.get(reader.u32(), (0, 1))
    start = reader.u64(limits.FILE_MAX, "as an offset")
    if start % alignment:
        raise InvalidModelFiles("has a damaged GGUF header: a tensor is not aligned")
    if weights_in_block == 0:
        return start, min(weights, 1)
    return start, -(-weights // weights_in_block) * block_bytes
