"""Where files are cut: whole coverage, the header apart, a change stays where it happened."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain import limits
from registry_core.domain.chunking import Span, chunk_bytes_for, cut_fixed, cut_tensors

CHUNK_BYTES = 100
LENGTHS = st.lists(st.integers(1, 450), max_size=25)
HEADERS = st.integers(1, 350)


def tensors_of(header_bytes: int, lengths: list[int]) -> list[Span]:
    ends = list(itertools.accumulate(lengths, initial=header_bytes))
    return list(itertools.pairwise(ends))


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 300))
def test_fixed_cuts_cover_exactly(start: int, length: int, chunk_bytes: int) -> None:
    spans = cut_fixed(start, start + length, chunk_bytes)
    assert_covers(spans, start, start + length)
    assert all(end - begin == chunk_bytes for begin, end in spans[:-1])


@given(HEADERS, LENGTHS)
def test_tensor_cuts_cover_exactly(header_bytes: int, lengths: list[int]) -> None:
    spans = cut_tensors(header_bytes, tensors_of(header_bytes, lengths), CHUNK_BYTES)
    assert_covers(spans, 0, header_bytes + sum(lengths))
    assert all(end - start <= CHUNK_BYTES for start, end in spans)


@given(HEADERS, LENGTHS)
def test_no_chunk_holds_header_and_tensor(header_bytes: int, lengths: list[int]) -> None:
    spans = cut_tensors(header_bytes, tensors_of(header_bytes, lengths), CHUNK_BYTES)
    assert not any(start < header_bytes < end for start, end in spans)


@given(HEADERS, LENGTHS)
def test_large_tensors_are_cut_from_their_own_start(header_bytes: int, lengths: list[int]) -> None:
    tensors = tensors_of(header_bytes, lengths)
    spans = set(cut_tensors(header_bytes, tensors, CHUNK_BYTES))
    for start, end in tensors:
        if end - start > CHUNK_BYTES:
            assert spans.issuperset(cut_fixed(start, end, CHUNK_BYTES))


@given(HEADERS, LENGTHS)
def test_small_neighbours_are_joined(header_bytes: int, lengths: list[int]) -> None:
    """Two chunks in a row that would fit into one are cut so only beside a large tensor."""
    tensors = tensors_of(header_bytes, lengths)
    large = [span for span in tensors if span[1] - span[0] > CHUNK_BYTES]
    spans = cut_tensors(header_bytes, tensors, CHUNK_BYTES)
    whole = [
        span for span in spans
        if span[0] >= header_bytes and not any(a <= span[0] < b for a, b in large)
    ]  # fmt: skip
    for (start, middle), (again, end) in itertools.pairwise(whole):
        if middle != again:
            continue
        first_of_next = next(tensor for tensor in tensors if tensor[0] == again)
        assert first_of_next[1] - start > CHUNK_BYTES, (start, middle, end)


@given(HEADERS, LENGTHS, st.data())
def test_a_changed_tensor_changes_only_its_own_chunks(
    header_bytes: int, lengths: list[int], data: st.DataObject
) -> None:
    """The same tensors with one changed in content, and a header that is longer."""
    tensors = tensors_of(header_bytes, lengths)
    spans = cut_tensors(header_bytes, tensors, CHUNK_BYTES)
    longer = header_bytes + data.draw(st.integers(0, 300))
    moved = cut_tensors(longer, tensors_of(longer, lengths), CHUNK_BYTES)
    shift = longer - header_bytes
    assert [s for s in moved if s[0] >= longer] == [
        (start + shift, end + shift) for start, end in spans if start >= header_bytes
    ]
    if tensors:
        start, end = data.draw(st.sampled_from(tensors))
        touched = [span for span in spans if span[0] < end and start < span[1]]
        beyond = [(a, b) for a, b in touched if a < start or end < b]
        assert all(b - a <= CHUNK_BYTES for a, b in beyond)
        assert not beyond or end - start <= CHUNK_BYTES, "a large tensor shares no chunk"


@pytest.mark.parametrize(
    ("version_bytes", "chunk_bytes"),
    [
        (0, 256), (256 * limits.MIB - 1, 256), (256 * limits.MIB, 4096), (8 * limits.GIB, 4096),
        (8 * limits.GIB + 1, 8192), (1 << 45, 8192),
    ],
)  # fmt: skip
def test_chunk_size_by_size_of_version(version_bytes: int, chunk_bytes: int) -> None:
    assert chunk_bytes_for(version_bytes) == chunk_bytes * limits.KIB


def assert_covers(spans: list[Span], start: int, end: int) -> None:
    assert all(a < b for a, b in spans)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    if spans:
        assert (spans[0][0], spans[-1][1]) == (start, end)
    else:
        assert start == end
