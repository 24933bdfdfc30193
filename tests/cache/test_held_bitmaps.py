"""Bitmaps that are kept up to date say the same as those made from scratch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.verifier import verify
from tests.cache.versions import CHUNK, make_version, random_bytes

SEED = 20261127


def bits(numbers: list[int], count: int) -> bytes:
    made = bytearray((count + 7) // 8)
    for number in numbers:
        made[number >> 3] |= 1 << (number & 7)
    return bytes(made)


@pytest.mark.parametrize("remembered", [limits.GAINED_MAX, 3])
def test_chunk_by_chunk(tmp_path: Path, remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two versions that share chunks, one of which is dropped in between."""
    print("seed", SEED)
    monkeypatch.setattr(limits, "GAINED_MAX", remembered)
    shared, own, other = (random_bytes(7 * CHUNK, n) for n in range(3))
    first, first_chunks = make_version({"a.bin": shared + own})
    second, second_chunks = make_version({"b.bin": other + shared})
    order = list({**first_chunks, **second_chunks}.items())
    random.Random(SEED).shuffle(order)
    held: set[object] = set()
    with Cache.open(tmp_path / "cache") as cache:
        cache.begin(first)
        cache.begin(second)
        for step, (chunk_id, data) in enumerate(order):
            chunk = first.unique_chunks.get(chunk_id) or second.unique_chunks[chunk_id]
            cache.store(verify(chunk, data))
            held.add(chunk_id)
            if step == len(order) // 2:
                cache.drop(second.digest)
                held &= set(first.unique_chunks)
            numbers = [n for n, one in enumerate(first.unique_chunks) if one in held]
            assert cache.have(first.digest) == bits(numbers, len(first.unique_chunks))
        assert cache.have(second.digest) is None
        assert numbers == list(range(14))
