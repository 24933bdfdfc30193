"""Where one file on disk is cut: by what it is (safetensors, GGUF), else at a fixed size."""

from __future__ import annotations

import os

from registry_core.domain import gguf_layout, limits, safetensors_layout
from registry_core.domain.chunking import Span, cut_fixed, cut_tensors
from registry_core.errors import InvalidModelFiles

_GGUF_FIRST_READ = 1 * limits.MIB


def spans_of(descriptor: int, path: str, size: int, chunk_bytes: int) -> list[Span]:
    """Spans covering the file. A damaged tensor file is an InvalidModelFiles error."""
    suffix = path.rpartition(".")[2].lower()
    if suffix == "safetensors":
        return _safetensors(descriptor, size, chunk_bytes)
    if suffix == "gguf":
        return _gguf(descriptor, size, chunk_bytes)
    return cut_fixed(0, size, chunk_bytes)


def _safetensors(descriptor: int, size: int, chunk_bytes: int) -> list[Span]:
    prefix = os.pread(descriptor, safetensors_layout.PREFIX_BYTES, 0)
    length = safetensors_layout.header_bytes(prefix, size)
    header = os.pread(descriptor, length, 0)
    return cut_tensors(length, safetensors_layout.tensor_spans(header, size), chunk_bytes)


def _gguf(descriptor: int, size: int, chunk_bytes: int) -> list[Span]:
    wanted = _GGUF_FIRST_READ
    while True:
        head = os.pread(descriptor, min(wanted, limits.GGUF_HEADER_MAX), 0)
        if len(head) < min(wanted, size, limits.GGUF_HEADER_MAX):
            raise InvalidModelFiles("became shorter while it was read: push again")
        try:
            length, tensors = gguf_layout.tensor_spans(head, size)
        except gguf_layout.HeaderIncomplete:
            wanted *= 4
            continue
        return cut_tensors(length, tensors, chunk_bytes)
