"""Compress chunks, each by itself, and decompress them again.

By byte planes, all first bytes of the items go first, then all second ones: the exponents of
floating-point numbers, which are much alike, come to lie beside each other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Squeezed:
    """Of all chunks together. Speeds count bytes of weights, not compressed ones."""

    ratio: float
    compress_bytes_s: float
    decompress_bytes_s: float


def squeeze(chunks: Sequence[bytes], level: int, planes: int, repeats: int) -> Squeezed:
    """`planes` are the bytes of an item; 1: chunks are compressed as they are."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=level)
    decompressor = zstandard.ZstdDecompressor()
    compress_s, decompress_s = [], []
    for _ in range(repeats):
        began_s = time.perf_counter()
        small = [compressor.compress(_split(chunk, planes)) for chunk in chunks]
        half_s = time.perf_counter()
        again = [_join(decompressor.decompress(piece), planes) for piece in small]
        compress_s.append(half_s - began_s)
        decompress_s.append(time.perf_counter() - half_s)
        if any(a != b for a, b in zip(chunks, again, strict=True)):
            raise RuntimeError("zstd gave other bytes back")
    total = sum(map(len, chunks))
    return Squeezed(
        total / sum(map(len, small)),
        total / statistics.median(compress_s),
        total / statistics.median(decompress_s),
    )


def _split(data: bytes, planes: int) -> bytes:
    """The planes one after the other, then what is left of an item at the end."""
    if planes == 1:
        return data
    whole = len(data) // planes * planes
    items = np.frombuffer(data, np.uint8, whole).reshape(-1, planes)
    return items.T.tobytes() + data[whole:]


def _join(data: bytes, planes: int) -> bytes:
    if planes == 1:
        return data
    whole = len(data) // planes * planes
    items = np.frombuffer(data, np.uint8, whole).reshape(planes, -1)
    return items.T.tobytes() + data[whole:]
