"""Regions over the ledger in this process."""

from __future__ import annotations

from collections.abc import Sequence

from registry_core.changes import pins as pinning
from registry_core.changes import regions as changes
from registry_core.control.regions import Known
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import Region
from registry_core.embedded.examine import packs_of_copy
from registry_core.errors import Conflict
from registry_core.ledger import regions
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import CopyRecord, PrefetchRecord, RegionRecord, VersionRecord
from registry_core.origin.store import Origin


class EmbeddedRegions:
    """See `registry_core.control.regions`. `home` is the home region's origin; a replica has
    none."""

    def __init__(self, ledger: Ledger, home: Origin | None) -> None:
        self._ledger = ledger
        self._home = home

    def known(self) -> Known:
        with self._ledger.read() as txn:
            return Known(regions.home_region(txn).text, list(regions.regions(txn)))

    def add(self, region: Region, change: Change) -> RegionRecord:
        """OriginError if its origin cannot be opened from here."""
        if self._home is not None and self._home.url == region.url:
            raise Conflict(f"{region.url} is the origin of the home region: each has its own")
        Origin.open(region.url, region.options)
        return self._ledger.commit(lambda commit: changes.add_region(commit, region, change))

    def remove(self, name: RegionName, change: Change) -> None:
        self._ledger.commit(lambda commit: changes.remove_region(commit, name, change))

    def copies(self, model: ModelName, number: int) -> Sequence[CopyRecord]:
        with self._ledger.read() as txn:
            return list(regions.copies(txn, model, number))

    def copies_in(self, name: RegionName) -> Sequence[CopyRecord]:
        with self._ledger.read() as txn:
            regions.region(txn, name)
            return list(regions.copies_in(txn, name))

    def record_copy(
        self, version: VersionRecord, name: RegionName, push: bytes, change: Change
    ) -> CopyRecord:
        with self._ledger.read() as txn:
            known = regions.region(txn, name)
        packs = packs_of_copy(Origin.open(known.url, known.options), version)
        return self._ledger.commit(
            lambda commit: changes.record_copy(commit, version, name, push, packs, change)
        )

    def withdraw_copy(self, version: VersionRecord, name: RegionName, change: Change) -> None:
        self._ledger.commit(lambda commit: changes.withdraw_copy(commit, version, name, change))

    def prefetches(self) -> Sequence[PrefetchRecord]:
        with self._ledger.read() as txn:
            now_ms = txn.time_ms()
            return [one for one in regions.prefetches(txn) if one.until_ms > now_ms]

    def prefetch(
        self, version: VersionRecord, regions: Sequence[str], keep_ms: int, change: Change
    ) -> Sequence[PrefetchRecord]:
        return self._ledger.commit(
            lambda commit: changes.ask_prefetch(commit, version, regions, keep_ms, change)
        )

    def pins(self) -> Sequence[PrefetchRecord]:
        with self._ledger.read() as txn:
            now_ms = txn.time_ms()
            return [one for one in regions.pins(txn) if one.until_ms > now_ms]

    def pin(
        self,
        version: VersionRecord,
        regions: Sequence[str],
        keep_ms: int | None,
        change: Change,
    ) -> Sequence[PrefetchRecord]:
        return self._ledger.commit(
            lambda commit: pinning.pin(commit, version, regions, keep_ms, change)
        )

    def unpin(self, version: VersionRecord, change: Change) -> Sequence[PrefetchRecord]:
        return self._ledger.commit(lambda commit: pinning.unpin(commit, version, change))
