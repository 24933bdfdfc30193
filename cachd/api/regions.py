"""Regions, what their origins hold, and what their nodes are to bring before it is needed."""

from __future__ import annotations

import asyncio

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, change_of, parse_push, region_of, version_of
from cachd.api.writes import Writes
from cachd.control import documents_regions as documents
from cachd.control.documents import ChoiceBody, DoneBody
from registry_core.domain.identifiers import ModelName
from registry_core.domain.region import Region
from registry_core.embedded.control import EmbeddedControl
from registry_core.ledger.records import CopyRecord, RegionRecord, VersionRecord

_REGION = "/v1/regions/{region}"
_VERSION = "/v1/models/{model}/versions/{version}"
_COPY = _VERSION + "/copies/{region}"


class RegionsApi:
    def __init__(self, control: EmbeddedControl, writes: Writes) -> None:
        self._control = control
        self._regions = control.regions
        self._writes = writes

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/v1/regions", self.regions,
                      "The home region and the others", documents.RegionsBody),
            Operation("PUT", _REGION, self.add_region,
                      "Add a region with its origin; the same again has no effect", RegionRecord,
                      documents.RegionBody),
            Operation("DELETE", _REGION, self.remove_region,
                      "Forget a region and what it held; its origin stays as it is", DoneBody,
                      ChoiceBody),
            Operation("GET", f"{_REGION}/copies", self.copies_in,
                      "All versions that a region's origin holds", documents.CopiesBody),
            Operation("GET", f"{_VERSION}/copies", self.copies,
                      "Which regions' origins hold all of a version, besides the home region's",
                      documents.CopiesBody),
            Operation("PUT", _COPY, self.record_copy,
                      "A version was copied to a region; its origin is looked at first", CopyRecord,
                      documents.CopyBody),
            Operation("DELETE", _COPY, self.withdraw_copy,
                      "A region's origin lacks some of a version", DoneBody, ChoiceBody),
            Operation("GET", "/v1/prefetches", self.prefetches,
                      "What nodes are to bring; expired ones are left out",
                      documents.PrefetchesBody),
            Operation("POST", f"{_VERSION}/prefetches", self.prefetch,
                      "Let the nodes of regions that serve the model bring a version",
                      documents.PrefetchesBody, documents.PrefetchBody),
            Operation("GET", "/v1/pins", self.pins,
                      "Versions that nodes keep in memory; pins that ended are left out",
                      documents.PinsBody),
            Operation("POST", f"{_VERSION}/pins", self.pin,
                      "Let the nodes of regions that serve the model keep a version in memory",
                      documents.PinsBody, documents.PinBody),
            Operation("DELETE", f"{_VERSION}/pins", self.unpin,
                      "End the pins of a version, in all regions", documents.PinsBody, ChoiceBody),
        ]  # fmt: skip

    async def regions(self, request: web.Request) -> web.StreamResponse:
        known = self._regions.known()
        return answer(documents.RegionsBody(known.home, known.others))

    async def add_region(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.RegionBody)
        region = Region.parse(region_of(request), body.url, body.options)
        change = await change_of(request, body.change)
        return answer(await self._writes.run(lambda: self._regions.add(region, change)))

    async def remove_region(self, request: web.Request) -> web.StreamResponse:
        name = region_of(request)
        body = await body_of(request, ChoiceBody)
        change = await change_of(request, body.change)
        await self._writes.run(lambda: self._regions.remove(name, change))
        return answer(DoneBody())

    async def copies_in(self, request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(self._regions.copies_in, region_of(request))
        return answer(documents.CopiesBody(list(found)))

    async def copies(self, request: web.Request) -> web.StreamResponse:
        version = self._version(request)
        found = self._regions.copies(ModelName(version.model), version.number)
        return answer(documents.CopiesBody(list(found)))

    async def record_copy(self, request: web.Request) -> web.StreamResponse:
        version, name = self._version(request), region_of(request)
        body = await body_of(request, documents.CopyBody)
        push, change = parse_push(body.push), await change_of(request, body.change)
        return answer(
            await self._writes.run(lambda: self._regions.record_copy(version, name, push, change))
        )

    async def withdraw_copy(self, request: web.Request) -> web.StreamResponse:
        version, name = self._version(request), region_of(request)
        body = await body_of(request, ChoiceBody)
        change = await change_of(request, body.change)
        await self._writes.run(lambda: self._regions.withdraw_copy(version, name, change))
        return answer(DoneBody())

    async def prefetches(self, request: web.Request) -> web.StreamResponse:
        return answer(documents.PrefetchesBody(list(self._regions.prefetches())))

    async def prefetch(self, request: web.Request) -> web.StreamResponse:
        version = self._version(request)
        body = await body_of(request, documents.PrefetchBody)
        change = await change_of(request, body.change)
        asked = await self._writes.run(
            lambda: self._regions.prefetch(version, body.regions, body.keep_ms, change)
        )
        return answer(documents.PrefetchesBody(list(asked)))

    async def pins(self, request: web.Request) -> web.StreamResponse:
        return answer(documents.PinsBody(list(self._regions.pins())))

    async def pin(self, request: web.Request) -> web.StreamResponse:
        version = self._version(request)
        body = await body_of(request, documents.PinBody)
        change = await change_of(request, body.change)
        pinned = await self._writes.run(
            lambda: self._regions.pin(version, body.regions, body.keep_ms, change)
        )
        return answer(documents.PinsBody(list(pinned)))

    async def unpin(self, request: web.Request) -> web.StreamResponse:
        version = self._version(request)
        body = await body_of(request, ChoiceBody)
        change = await change_of(request, body.change)
        ended = await self._writes.run(lambda: self._regions.unpin(version, change))
        return answer(documents.PinsBody(list(ended)))

    def _version(self, request: web.Request) -> VersionRecord:
        return self._control.resolve(version_of(request)).version
