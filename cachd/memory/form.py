"""Where programs find a version that is in memory: the cache's own files, or a copy in a tmpfs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cachd.cache.pace import UNPACED, Pace
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Manifest


class ResidentForm(StrEnum):
    FILES = "files"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Placed:
    """`folder` of the version; `damaged` paths of what was published; `hashed`: its bytes were
    looked at on their way there; `adopted`: they were there before this process was."""

    folder: Path
    damaged: tuple[str, ...] = ()
    hashed: bool = False
    adopted: bool = False


class Form(Protocol):
    """Any thread may call."""

    unswappable: bool
    """What lies there cannot leave memory: it counts as locked."""

    def place(
        self, manifest: Manifest, published: Path, cancel: threading.Event, pace: Pace = UNPACED
    ) -> Placed: ...

    def drop(self, digest: Digest) -> None:
        """Nobody needs it there. What is mapped stays as long as it is."""
        ...

    def known(self) -> set[Digest]:
        """Versions that have a copy, also those that an earlier daemon left."""
        ...

    def close(self, *, in_use: bool) -> None:
        """At the daemon's end. `in_use`: workers go on with what is there."""
        ...


class FilesForm:
    """The immutable directory of real files on the disk, populated."""

    unswappable = False

    def place(
        self, manifest: Manifest, published: Path, cancel: threading.Event, pace: Pace = UNPACED  # noqa: ARG002
    ) -> Placed:  # fmt: skip
        return Placed(published)

    def drop(self, digest: Digest) -> None:
        pass

    def known(self) -> set[Digest]:
        return set()

    def close(self, *, in_use: bool) -> None:
        pass
