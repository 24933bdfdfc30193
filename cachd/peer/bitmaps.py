"""Bitmaps over the distinct chunks of a version, least significant bit of each byte first. Pure.

A bitmap may be shorter than the version has chunks: what is beyond it is not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def bit(bitmap: bytes | bytearray, number: int) -> bool:
    return len(bitmap) > number >> 3 and bool(bitmap[number >> 3] >> (number & 7) & 1)


def set_bit(bitmap: bytearray, number: int) -> None:
    bitmap[number >> 3] |= 1 << (number & 7)


def numbers_of(bitmap: bytes) -> Iterator[int]:
    """The set bits, in order."""
    for place, byte in enumerate(bitmap):
        if byte:
            for low in range(8):
                if byte >> low & 1:
                    yield 8 * place + low


def union(bitmaps: Sequence[bytes]) -> bytes:
    """What is set in any of them."""
    size = max(map(len, bitmaps), default=0)
    together = 0
    for bitmap in bitmaps:
        together |= int.from_bytes(bitmap, "little")
    return together.to_bytes(size, "little")
