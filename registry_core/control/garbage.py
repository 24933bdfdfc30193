"""Pushes that announce themselves, and what gc tells of its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from registry_core.changes.garbage import Push
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.ledger.change import Change


class ModelGarbage(msgspec.Struct):
    """What a run of gc found of one model; `model` is empty for what pushes left that died."""

    model: str
    versions_deleted: list[int] = []
    """By the model's retention rule."""
    packs_condemned: int = 0
    bytes_condemned: int = 0
    packs_deleted: int = 0
    bytes_deleted: int = 0


class GcReport(msgspec.Struct):
    """What a run of gc did, or with `dry_run` would do now."""

    dry_run: bool
    models: list[ModelGarbage] = []
    packs_condemned: int = 0
    bytes_condemned: int = 0
    packs_deleted: int = 0
    bytes_deleted: int = 0
    packs_waiting: int = 0
    bytes_waiting: int = 0
    """Condemned before, and not yet for long enough, or a push from before is under way."""
    packs_pardoned: int = 0
    documents_deleted: int = 0
    leftovers_deleted: int = 0
    """Halves of files that a file:// origin was left with when a push died."""
    pushes_ended: int = 0
    """Taken for dead."""
    more: bool = False
    """There was more than one run looks at: run it again."""


class GarbageControl(Protocol):
    def begin_push(self, model: ModelName, manifest: Digest, change: Change) -> Push:
        """Announce a push before its first upload. Condemned, for a moment, if what a deleted
        version left of these very files is just being removed."""
        ...

    def end_push(self, model: ModelName, push: bytes, change: Change) -> None:
        """The push was given up; registering ends it as well. Ending it again has no effect."""
        ...


@runtime_checkable
class Collecting(Protocol):
    """A registry that collects its garbage by itself when asked to: one behind an authority."""

    def collect(
        self, change: Change, *, dry_run: bool, progress: Callable[[str, int, int], None]
    ) -> GcReport:
        """Run to the end; Conflict if a run is under way. `progress` gets (phase, done, total)."""
        ...
