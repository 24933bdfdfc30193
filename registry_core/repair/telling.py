"""Progress through versions, of which some share what they are made of."""

from __future__ import annotations

from registry_core.ledger.records import VersionRecord
from registry_core.push.progress import Progress


class Telling:
    """Tells how many of `total` bytes of versions were looked at, also in the midst of one."""

    def __init__(self, progress: Progress, total: int, phase: str = "origin") -> None:
        self._progress = progress
        self._phase = phase
        self._total = total
        self._done = self._within = 0
        self._version_bytes = 0

    def begin(self, version: VersionRecord) -> None:
        self._within, self._version_bytes = 0, version.bytes

    def read(self, count: int) -> None:
        """So many more bytes were read for the version that was begun."""
        self._within = min(self._within + count, self._version_bytes)
        self._tell(self._done + self._within)

    def end(self) -> None:
        self._done += self._version_bytes
        self._tell(self._done)

    def _tell(self, done: int) -> None:
        self._progress(self._phase, done, max(done, self._total))
