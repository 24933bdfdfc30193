"""Only the verifier makes trusted chunks, and only of the right bytes."""

from __future__ import annotations

import pytest

from cachd.cache.verifier import PartVerifier, VerifiedChunk, Verifier, verify
from registry_core.domain.limits import CHUNK_MARK, CHUNK_PART
from registry_core.domain.manifest import Chunk
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


def proven(chunk: Chunk, data: bytes, step: int) -> tuple[PartVerifier, list[int]]:
    """A verifier that has had all of `data` in such steps, and what was proven after each."""
    buffer, told = memoryview(bytearray(len(data))), []
    verifier = PartVerifier(chunk, buffer)
    for start in range(0, len(data), step):
        buffer[start : start + step] = data[start : start + step]
        verifier.advance(min(start + step, len(data)))
        told.append(verifier.proven)
    return verifier, told


@pytest.mark.parametrize("step", [10_000, CHUNK_PART, 100_000, len(DATA)])
def test_marks_prove_the_beginning_before_the_rest_is_there(step: int) -> None:
    verifier, told = proven(chunk_of(DATA, marked=True), DATA, step)
    for number, count in enumerate(told, 1):
        assert count == min(number * step, len(DATA)) // CHUNK_PART * CHUNK_PART
    assert bytes(verifier.finish().data) == DATA


@pytest.mark.parametrize("part", [0, 1, 9])
def test_no_part_from_a_flipped_bit_on_is_proven(part: int) -> None:
    wrong = bytearray(DATA)
    wrong[part * CHUNK_PART + 17] ^= 1
    verifier, told = proven(chunk_of(DATA, marked=True), bytes(wrong), CHUNK_PART)
    assert max(told) == part * CHUNK_PART
    with pytest.raises(IntegrityError):
        verifier.finish()


def test_a_wrong_mark_proves_nothing_and_condemns_nothing() -> None:
    """What the chunk is, its id says."""
    right = chunk_of(DATA, marked=True)
    marks = bytearray(right.marks)
    marks[2 * CHUNK_MARK] ^= 1
    verifier, told = proven(Chunk(right.id, right.length, bytes(marks)), DATA, CHUNK_PART)
    assert max(told) == 2 * CHUNK_PART
    assert bytes(verifier.finish().data) == DATA


def test_a_chunk_of_one_part_has_no_marks() -> None:
    small = chunk_of(DATA[:CHUNK_PART], marked=True)
    assert small.marks == b""
    verifier, told = proven(small, DATA[:CHUNK_PART], 1000)
    assert max(told) == 0
    assert bytes(verifier.finish().data) == DATA[:CHUNK_PART]
