"""What a fetch tells while it runs and when it is done."""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.domain.identifiers import ChunkId


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes of distinct chunks: done and total, and where those of this fetch came from."""

    bytes_done: int
    bytes_total: int
    bytes_from_origin: int
    bytes_from_peers: int
    bytes_local: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """A source gave something wrong, or nothing: worth an operator's look."""

    source: str
    chunk_id: ChunkId | None
    reason: str

    def __str__(self) -> str:
        what = f" for chunk {self.chunk_id.hex[:16]}…" if self.chunk_id else ""
        return f"{self.source}{what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class FetchReport:
    """All chunks of the version are stored and verified; publish it next."""

    bytes_from_origin: int
    bytes_from_peers: int
    bytes_local: int
    seconds: float
    complaints: tuple[Complaint, ...]
