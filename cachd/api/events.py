"""Events: the log as CloudEvents, by long poll, as a stream, and through durable consumers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.log_watch import LogWatch
from cachd.api.operations import Operation
from cachd.api.parsing import body_of, whole_number
from cachd.api.writes import Writes
from cachd.control import documents
from cachd.control.limits import (
    EVENTS_PER_BATCH,
    HEARTBEAT_S,
    POLL_S_MAX,
    STREAM_STALLED_S,
)
from registry_core.domain import limits
from registry_core.domain.cloud_event import EventFilter
from registry_core.domain.identifiers import ModelName
from registry_core.errors import InvalidInput
from registry_core.ledger import log
from registry_core.ledger.consumers import Batch, ConsumerRecord, Consumers, read_events
from registry_core.ledger.ledger import Ledger

_CONSUMER = "/v1/consumers/{consumer}"
_STREAM = "text/event-stream"
_FILTER = (
    ("types", "types or beginnings of types, with commas: model.stage, model.move.approved"),
    ("model", "only what is about this model"),
)
_LIMIT = ("limit", "at most so many events (1 to 1000, default 100)")
_WAIT = ("wait", "seconds to wait for the first event (0 to 25, default 0)")


class EventsApi:
    def __init__(self, ledger: Ledger, registry: str, watch: LogWatch, writes: Writes) -> None:
        self._ledger = ledger
        self._registry = registry
        self._watch = watch
        self._writes = writes
        self._consumers = Consumers(ledger.store)

    def operations(self) -> list[Operation]:
        after = ("after", "events beyond this position; default 0, the beginning")
        return [
            Operation("GET", "/v1/events", self.events,
                      "Events beyond a position; waits for the first if asked to",
                      documents.BatchBody, query=(after, *_FILTER, _LIMIT, _WAIT)),
            Operation("GET", "/v1/events/stream", self.stream,
                      "Server-sent events; Last-Event-ID goes on where a stream broke off", None,
                      query=(after, *_FILTER), media_type=_STREAM, streams=True),
            Operation("GET", "/v1/consumers", self.consumers,
                      "Durable consumers and how far they are", documents.ConsumersBody),
            Operation("POST", "/v1/consumers", self.create,
                      "Make a durable consumer; the same again has no effect", ConsumerRecord,
                      documents.ConsumerBody),
            Operation("DELETE", _CONSUMER, self.delete,
                      "Forget a consumer", documents.DoneBody),
            Operation("GET", f"{_CONSUMER}/events", self.consume,
                      "Events beyond the consumer's cursor, until it is moved",
                      documents.BatchBody, query=(_LIMIT, _WAIT)),
            Operation("POST", f"{_CONSUMER}/ack", self.acknowledge,
                      "Move the cursor on: what lies before is done", ConsumerRecord,
                      documents.AckBody),
            Operation("POST", f"{_CONSUMER}/seek", self.seek,
                      "Move the cursor anywhere, for a replay", ConsumerRecord,
                      documents.SeekBody),
        ]  # fmt: skip

    async def events(self, request: web.Request) -> web.StreamResponse:
        after = whole_number(request, "after", 0, limits.INTEGER_MAX, 0)
        return _batch(await self._wait(request, _filter(request), after), after)

    async def consume(self, request: web.Request) -> web.StreamResponse:
        known = await asyncio.to_thread(self._consumers.get, _name(request))
        return _batch(await self._wait(request, known.filter, known.cursor), known.cursor)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        wanted = _filter(request)
        last = request.headers.get("Last-Event-ID", "")
        if last and not (last.isascii() and last.isdigit() and len(last) <= 16):
            raise InvalidInput(f"Last-Event-ID {last!r:.40} is not a position")
        after = int(last) if last else whole_number(request, "after", 0, limits.INTEGER_MAX, 0)
        response = web.StreamResponse(
            headers={"Content-Type": _STREAM, "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        # A reader that is gone, or too slow to be waited for, asks again from its last id.
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            await self._send(response, wanted, after)
        return response

    async def consumers(self, request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(self._consumers.all)
        size = await asyncio.to_thread(self._size)
        return answer(documents.ConsumersBody(found, size))

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.ConsumerBody)
        model = ModelName.parse(body.model).text if body.model else ""
        wanted = EventFilter.parse(body.types, model)
        return answer(
            await self._writes.run(lambda: self._consumers.create(body.name, wanted, body.start))
        )

    async def delete(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        await self._writes.run(lambda: self._consumers.delete(name))
        return answer(documents.DoneBody())

    async def acknowledge(self, request: web.Request) -> web.StreamResponse:
        name, body = _name(request), await body_of(request, documents.AckBody)
        return answer(
            await self._writes.run(
                lambda: self._consumers.acknowledge(name, body.cursor, body.sequence)
            )
        )

    async def seek(self, request: web.Request) -> web.StreamResponse:
        name, body = _name(request), await body_of(request, documents.SeekBody)
        return answer(await self._writes.run(lambda: self._consumers.seek(name, body.sequence)))

    async def _wait(self, request: web.Request, wanted: EventFilter, after: int) -> Batch:
        """The next events; none, if none came in time."""
        limit = whole_number(request, "limit", 1, limits.PAGE_SIZE_MAX, 100)
        wait_s = whole_number(request, "wait", 0, POLL_S_MAX, 0)
        deadline = asyncio.get_running_loop().time() + wait_s
        batch = await self._read(wanted, after, limit)
        while not batch.events and not self._watch.closed:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            batch = await self._beyond(wanted, batch.next, limit, left_s)
        return batch

    async def _beyond(self, wanted: EventFilter, after: int, limit: int, within_s: float) -> Batch:
        """What there is, or what comes."""
        seen = self._watch.count
        batch = await self._read(wanted, after, limit)
        if batch.next == after:
            try:
                async with asyncio.timeout(within_s):
                    await self._watch.wait(seen)
            except TimeoutError:
                return batch
        return batch

    async def _send(self, response: web.StreamResponse, wanted: EventFilter, after: int) -> None:
        while not self._watch.closed:
            batch = await self._beyond(wanted, after, EVENTS_PER_BATCH, HEARTBEAT_S)
            text = "".join(_frame(event) for event in batch.events)
            if not text and batch.next == after:
                text = ":\n\n"  # says that the line is alive
            after = batch.next
            async with asyncio.timeout(STREAM_STALLED_S):
                await response.write(text.encode())

    async def _read(self, wanted: EventFilter, after: int, limit: int) -> Batch:
        return await asyncio.to_thread(self._read_now, wanted, after, limit)

    def _read_now(self, wanted: EventFilter, after: int, limit: int) -> Batch:
        with self._ledger.read() as txn:
            return read_events(txn, self._registry, wanted, after, limit)

    def _size(self) -> int:
        with self._ledger.read() as txn:
            return log.log_size(txn)


def _batch(batch: Batch, after: int) -> web.Response:
    return answer(documents.BatchBody(batch.events, after, batch.next))


def _frame(event: dict[str, Any]) -> str:
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _filter(request: web.Request) -> EventFilter:
    types = [one for one in request.query.get("types", "").split(",") if one]
    model = request.query.get("model", "")
    return EventFilter.parse(types, ModelName.parse(model).text if model else "")


def _name(request: web.Request) -> str:
    return request.match_info["consumer"]
