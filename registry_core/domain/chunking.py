"""Where a file is cut into chunks.

Tensor files are cut at tensor boundaries so that a version that changes some tensors shares the
chunks of all others; any other file at a fixed size. The header of a tensor file is a chunk of its
own (it changes with metadata, the tensors do not). Small neighbours are joined up to the chunk
size; a tensor larger than that is cut at the fixed size from its own start.
"""

from __future__ import annotations

from collections.abc import Iterable

from registry_core.domain import limits

Span = tuple[int, int]
"""(start, end) in bytes, end exclusive."""


def chunk_bytes_for(version_bytes: int) -> int:
    """Chunk size for a model whose first version has this many bytes."""
    if version_bytes < limits.SMALL_VERSION_MAX:
        return limits.CHUNK_SMALL
    if version_bytes > limits.LARGE_VERSION_MIN:
        return limits.CHUNK_LARGE
    return limits.CHUNK_DEFAULT


def cut_fixed(start: int, end: int, chunk_bytes: int) -> list[Span]:
    """[start, end) in pieces of `chunk_bytes`, the last one shorter."""
    return [(at, min(at + chunk_bytes, end)) for at in range(start, end, chunk_bytes)]


def cut_tensors(header_bytes: int, tensors: Iterable[Span], chunk_bytes: int) -> list[Span]:
    """Spans of a tensor file: `tensors` are contiguous, in order, right after the header."""
    spans = cut_fixed(0, header_bytes, chunk_bytes)
    open_start = open_end = header_bytes
    for start, end in tensors:
        if end - open_start > chunk_bytes and open_end > open_start:
            spans.append((open_start, open_end))
            open_start = start
        if end - start > chunk_bytes:
            spans.extend(cut_fixed(start, end, chunk_bytes))
            open_start = end
        open_end = end
    if open_end > open_start:
        spans.append((open_start, open_end))
    return spans
