"""The error tree of fetching. A full or failing disk comes through as cachd.cache.errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.errors import RegistryError

_SHOWN_MAX = 3


class FetchError(RegistryError):
    """A version, or what describes it, could not be fetched."""

    code = "fetch"
    retryable = True


class FetchCancelled(FetchError):
    """The caller cancelled. What was verified is kept, and fetching again continues from there."""

    code = "fetch_cancelled"


class DocumentsUnavailable(FetchError):
    """No source has a manifest or bundle with the right digest."""

    code = "documents_unavailable"


@dataclass(frozen=True, slots=True)
class MissingChunk:
    """A chunk that no source gave. `reasons`: source -> why not."""

    chunk_id: ChunkId
    reasons: Mapping[str, str]

    def __str__(self) -> str:
        why = "; ".join(f"{source}: {reason}" for source, reason in self.reasons.items())
        return f"{self.chunk_id.hex[:16]}… ({why})"


class FetchFailed(FetchError):
    """No source can give the chunks in `missing`. Helps after a peer or the origin has them; what
    was verified is kept."""

    code = "fetch_failed"

    def __init__(self, digest: Digest, missing: Sequence[MissingChunk], total: int) -> None:
        shown = ", ".join(str(chunk) for chunk in missing[:_SHOWN_MAX])
        more = f", and {len(missing) - _SHOWN_MAX} more" if len(missing) > _SHOWN_MAX else ""
        super().__init__(
            f"version {digest}: {len(missing)} of {total} chunks could not be fetched: "
            f"{shown}{more}. Repair the origin or start a peer that has the version, then fetch "
            "again: what is verified is kept"
        )
        self.digest = digest
        self.missing = tuple(missing)
