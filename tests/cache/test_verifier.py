"""Only the verifier makes trusted chunks, and only of the right bytes."""

from __future__ import annotations

import pytest

from cachd.cache.verifier import VerifiedChunk, Verifier, verify
from registry_core.errors import IntegrityError
from tests.cache.versions import chunk_of, random_bytes

DATA = random_bytes(700_001, 1)


def test_right_bytes_become_a_verified_chunk() -> None:
    verified = verify(chunk_of(DATA), DATA)
    assert bytes(verified.data) == DATA
    assert verified.data.readonly


@pytest.mark.parametrize("bit", [0, 7, 350_000 * 8, len(DATA) * 8 - 1])
def test_any_flipped_bit_is_refused_with_both_digests(bit: int) -> None:
    wrong = bytearray(DATA)
    wrong[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError) as caught:
        verify(chunk_of(DATA), wrong)
    assert caught.value.expected == chunk_of(DATA).id.hex
    assert caught.value.actual == chunk_of(bytes(wrong)).id.hex


@pytest.mark.parametrize("length", [0, 1, len(DATA) - 1, len(DATA) + 1])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(IntegrityError):
        verify(chunk_of(DATA), (DATA + b"x")[:length])


def test_hashing_as_bytes_arrive_gives_the_same_answer() -> None:
    buffer = memoryview(bytearray(len(DATA) + 100))
    verifier = Verifier(chunk_of(DATA), buffer)
    filled = 0
    for step in (1, 100_000, 262_144, 262_144, len(DATA)):
        end = min(filled + step, len(DATA))
        buffer[filled:end] = DATA[filled:end]
        filled = end
        verifier.advance(filled)
    assert bytes(verifier.finish().data) == DATA


def test_bytes_that_never_came_are_refused() -> None:
    verifier = Verifier(chunk_of(DATA), memoryview(bytearray(len(DATA))))
    verifier.advance(0)
    with pytest.raises(IntegrityError):
        verifier.finish()


def test_nobody_else_can_make_one() -> None:
    with pytest.raises(TypeError, match="verifier"):
        VerifiedChunk(chunk_of(DATA), memoryview(DATA), object())
