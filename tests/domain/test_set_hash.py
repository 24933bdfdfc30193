"""The set hash against a slow one that does it lane by lane."""

from __future__ import annotations

import struct

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain.set_hash import EMPTY, LANES, STATE_BYTES, SetHash

ELEMENTS = st.lists(st.binary(max_size=8), max_size=12)


def slow(elements: list[bytes]) -> bytes:
    lanes = [0] * LANES
    for element in elements:
        words = struct.unpack(f"<{LANES}H", blake3(element).digest(length=STATE_BYTES))
        lanes = [(a + b) % 65536 for a, b in zip(lanes, words, strict=True)]
    return struct.pack(f"<{LANES}H", *lanes)


@given(ELEMENTS)
def test_it_is_the_sum_of_the_lanes(elements: list[bytes]) -> None:
    made = SetHash()
    for element in elements:
        made.add(element)
    assert made.state == slow(elements)


@given(ELEMENTS, ELEMENTS)
def test_what_is_removed_leaves_nothing(kept: list[bytes], removed: list[bytes]) -> None:
    made = SetHash()
    for element in [*removed, *kept]:
        made.add(element)
    made = SetHash(made.state)
    for element in reversed(removed):
        made.remove(element)
    assert made.state == slow(kept)


def test_golden() -> None:
    made = SetHash()
    assert made.state == EMPTY
    made.add(b"a")
    made.add(b"b")
    assert blake3(made.state).hexdigest()[:32] == GOLDEN


def test_a_state_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2048 bytes"):
        SetHash(b"short")


GOLDEN = "c2506647056a65b2298e5735382bc3ea"
