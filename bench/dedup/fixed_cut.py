"""A file in chunks of a fixed size from its start: what a chunker that knows no tensors does."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from registry_core.domain.chunking import cut_fixed


def fixed_chunks(path: Path, chunk_bytes: int) -> dict[bytes, int]:
    """Bytes of each distinct chunk, by its BLAKE3."""
    found: dict[bytes, int] = {}
    with path.open("rb") as file:
        for start, end in cut_fixed(0, path.stat().st_size, chunk_bytes):
            data = file.read(end - start)
            found[blake3(data).digest()] = len(data)
    return found


def new_bytes(chunks: dict[bytes, int], before: dict[bytes, int]) -> int:
    """Bytes of the chunks that `before` does not have."""
    return sum(length for key, length in chunks.items() if key not in before)
