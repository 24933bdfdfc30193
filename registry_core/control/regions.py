"""Regions, what their origins hold, and what their nodes are to bring before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import Region
from registry_core.ledger.change import Change
from registry_core.ledger.records import CopyRecord, PrefetchRecord, RegionRecord, VersionRecord


class Known(msgspec.Struct, frozen=True):
    """The regions of a registry: `home` is the one that is pushed to, `others` are copied to."""

    home: str
    others: list[RegionRecord]


class RegionControl(Protocol):
    def known(self) -> Known: ...

    def add(self, region: Region, change: Change) -> RegionRecord:
        """The same again has no effect; another origin under the name is a Conflict."""
        ...

    def remove(self, name: RegionName, change: Change) -> None:
        """Forget a region and what it held. Its origin stays as it is."""
        ...

    def copies(self, model: ModelName, number: int) -> Sequence[CopyRecord]:
        """Which regions' origins hold all of a version, besides the home region's."""
        ...

    def copies_in(self, name: RegionName) -> Sequence[CopyRecord]:
        """All versions that a region's origin holds."""
        ...

    def record_copy(
        self, version: VersionRecord, name: RegionName, push: bytes, change: Change
    ) -> CopyRecord:
        """All of the version was copied to a region, announced as `push`, which this ends. The
        region's origin is looked at first: what it lacks is an error."""
        ...

    def withdraw_copy(self, version: VersionRecord, name: RegionName, change: Change) -> None:
        """A region's origin lacks some of the version. Withdrawing again has no effect."""
        ...

    def prefetches(self) -> Sequence[PrefetchRecord]:
        """Those that have not expired."""
        ...

    def prefetch(
        self, version: VersionRecord, regions: Sequence[str], keep_ms: int, change: Change
    ) -> Sequence[PrefetchRecord]:
        """Nodes of `regions` (`*`: of all) that serve the model bring the version and keep it for
        so long. Asked for again, the time begins anew."""
        ...

    def pins(self) -> Sequence[PrefetchRecord]:
        """Those that have not ended."""
        ...

    def pin(
        self,
        version: VersionRecord,
        regions: Sequence[str],
        keep_ms: int | None,
        change: Change,
    ) -> Sequence[PrefetchRecord]:
        """Nodes of `regions` (`*`: of all) that serve the model keep the version in memory, for so
        long, or (None) until it is unpinned."""
        ...

    def unpin(self, version: VersionRecord, change: Change) -> Sequence[PrefetchRecord]:
        """End the pins of a version; which these were."""
        ...
