"""Regions over HTTP: see `registry_core.control.regions`."""

from __future__ import annotations

from collections.abc import Sequence

from cachd.control import documents_regions as bodies
from cachd.control.calls import Calls
from cachd.control.documents import ChangeBody, ChoiceBody, DoneBody
from registry_core.control.regions import Known
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import Region
from registry_core.ledger.change import Change
from registry_core.ledger.records import CopyRecord, PrefetchRecord, RegionRecord, VersionRecord


class RemoteRegions:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def known(self) -> Known:
        body = self._calls.get(bodies.RegionsBody, "/v1/regions")
        return Known(body.home, body.others)

    def add(self, region: Region, change: Change) -> RegionRecord:
        body = bodies.RegionBody(region.url, ChangeBody.of(change), dict(region.options))
        return self._calls.change("PUT", RegionRecord, f"/v1/regions/{region.name}", body, change)

    def remove(self, name: RegionName, change: Change) -> None:
        body = ChoiceBody(ChangeBody.of(change))
        self._calls.change("DELETE", DoneBody, f"/v1/regions/{name}", body, change)

    def copies(self, model: ModelName, number: int) -> Sequence[CopyRecord]:
        path = f"/v1/models/{model}/versions/{number}/copies"
        return self._calls.get(bodies.CopiesBody, path).copies

    def copies_in(self, name: RegionName) -> Sequence[CopyRecord]:
        return self._calls.get(bodies.CopiesBody, f"/v1/regions/{name}/copies").copies

    def record_copy(
        self, version: VersionRecord, name: RegionName, push: bytes, change: Change
    ) -> CopyRecord:
        body = bodies.CopyBody(push.hex(), ChangeBody.of(change))
        return self._calls.change("PUT", CopyRecord, _copy(version, name), body, change)

    def withdraw_copy(self, version: VersionRecord, name: RegionName, change: Change) -> None:
        body = ChoiceBody(ChangeBody.of(change))
        self._calls.change("DELETE", DoneBody, _copy(version, name), body, change)

    def prefetches(self) -> Sequence[PrefetchRecord]:
        return self._calls.get(bodies.PrefetchesBody, "/v1/prefetches").prefetches

    def prefetch(
        self, version: VersionRecord, regions: Sequence[str], keep_ms: int, change: Change
    ) -> Sequence[PrefetchRecord]:
        body = bodies.PrefetchBody(list(regions), keep_ms, ChangeBody.of(change))
        path = f"/v1/models/{version.model}/versions/{version.number}/prefetches"
        return self._calls.change("POST", bodies.PrefetchesBody, path, body, change).prefetches

    def pins(self) -> Sequence[PrefetchRecord]:
        return self._calls.get(bodies.PinsBody, "/v1/pins").pins

    def pin(
        self,
        version: VersionRecord,
        regions: Sequence[str],
        keep_ms: int | None,
        change: Change,
    ) -> Sequence[PrefetchRecord]:
        body = bodies.PinBody(list(regions), ChangeBody.of(change), keep_ms)
        return self._calls.change("POST", bodies.PinsBody, _pins(version), body, change).pins

    def unpin(self, version: VersionRecord, change: Change) -> Sequence[PrefetchRecord]:
        body = ChoiceBody(ChangeBody.of(change))
        return self._calls.change("DELETE", bodies.PinsBody, _pins(version), body, change).pins


def _pins(version: VersionRecord) -> str:
    return f"/v1/models/{version.model}/versions/{version.number}/pins"


def _copy(version: VersionRecord, name: RegionName) -> str:
    return f"/v1/models/{version.model}/versions/{version.number}/copies/{name}"
