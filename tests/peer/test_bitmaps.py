"""Bitmaps agree with sets of numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cachd.peer.bitmaps import adds, bit, pack, set_bit, unpack

NUMBERS = st.sets(st.integers(0, 99))


def bitmap_of(numbers: set[int]) -> bytes:
    made = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        set_bit(made, number)
    return bytes(made)


@given(NUMBERS)
def test_a_bitmap_tells_its_numbers(numbers: set[int]) -> None:
    made = bitmap_of(numbers)
    assert {number for number in range(120) if bit(made, number)} == numbers
    assert set(np.flatnonzero(unpack(made, 100)).tolist()) == numbers


@given(NUMBERS)
def test_what_is_packed_unpacks(numbers: set[int]) -> None:
    mask = unpack(bitmap_of(numbers), 100)
    assert unpack(pack(mask), 100).tolist() == mask.tolist()


@given(NUMBERS, NUMBERS)
def test_what_is_new_in_a_bitmap(now: set[int], before: set[int]) -> None:
    assert adds(bitmap_of(now), bitmap_of(before)) == bool(now - before)


def test_a_bitmap_may_be_longer_or_shorter_than_the_version() -> None:
    assert unpack(b"", 3).tolist() == [False] * 3
    assert unpack(b"\xff\xff", 3).tolist() == [True] * 3


def test_least_significant_bit_first() -> None:
    assert bitmap_of({0, 2, 23}) == b"\x05\x00\x80"
