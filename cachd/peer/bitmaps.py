"""Bitmaps over the distinct chunks of a version, least significant bit of each byte first. Pure.

A bitmap may be shorter than the version has chunks: what is beyond it is not set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""One truth value per chunk."""
Numbers = NDArray[np.intp]
"""Of chunks, by their place among the version's distinct chunks; ascending."""


def bit(bitmap: bytes | bytearray, number: int) -> bool:
    return len(bitmap) > number >> 3 and bool(bitmap[number >> 3] >> (number & 7) & 1)


def set_bit(bitmap: bytearray, number: int) -> None:
    bitmap[number >> 3] |= 1 << (number & 7)


def adds(bitmap: bytes, before: bytes) -> bool:
    """Whether it has a bit that `before` lacks; both are of one version."""
    return bool(int.from_bytes(bitmap, "little") & ~int.from_bytes(before, "little"))


def union(one: bytes, other: bytes) -> bytes:
    """Both are of one version."""
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return both.to_bytes(len(one), "little")


def unpack(bitmap: bytes, count: int) -> Mask:
    """Of `count` chunks."""
    size = (count + 7) // 8
    bits = np.frombuffer(bitmap[:size].ljust(size, b"\0"), np.uint8)
    return np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)


def pack(mask: Mask) -> bytes:
    return np.packbits(mask, bitorder="little").tobytes()
