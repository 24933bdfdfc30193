"""Bitmaps agree with sets of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachd.peer.bitmaps import bit, numbers_of, set_bit, union

NUMBERS = st.sets(st.integers(0, 99))


def bitmap_of(numbers: set[int]) -> bytes:
    made = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        set_bit(made, number)
    return bytes(made)


@given(NUMBERS)
def test_a_bitmap_tells_its_numbers(numbers: set[int]) -> None:
    made = bitmap_of(numbers)
    assert list(numbers_of(made)) == sorted(numbers)
    assert {number for number in range(120) if bit(made, number)} == numbers


@given(st.lists(NUMBERS, max_size=4))
def test_the_union_has_what_any_has(sets: list[set[int]]) -> None:
    assert set(numbers_of(union([bitmap_of(one) for one in sets]))) == set().union(*sets)


def test_least_significant_bit_first() -> None:
    assert bitmap_of({0, 2, 23}) == b"\x05\x00\x80"
