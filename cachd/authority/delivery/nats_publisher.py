"""Every event to a JetStream stream, in order. Event loop only.

    subject      cachd.<registry id>.<type without io.cachd.>.<model>
                 `_` where there is no model; a dot in a model's name is written %2E, so that the
                 model is always the last token
    Nats-Msg-Id  <registry id>-<sequence>: the server drops repeats within the stream's window
    body         the CloudEvent, as in `Content-Type: application/cloudevents+json`

Each event is acknowledged by the stream before the next is sent; the position is written after each
batch. A crash in between sends that batch again under the same ids. A server that is down is tried
again with back-off, and holds up nobody else.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from cachd.authority.delivery.event_log import EventLog
from cachd.authority.delivery.lease import Lease
from cachd.authority.delivery.message import CONTENT_TYPE, message_id
from cachd.authority.delivery.settings import (
    NATS_ACK_S,
    NATS_CONNECT_S,
    NATS_DUPLICATES_S,
    NATS_RETRY_S_MAX,
    NATS_RETRY_S_MIN,
    NatsSettings,
)
from cachd.authority.delivery.threads import Threads
from registry_core.domain.cloud_event import PREFIX, EventFilter
from registry_core.errors import InvalidInput, NotOwner
from registry_core.ledger.position import Position

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

_log = structlog.get_logger("cachd.authority")
_ALL = EventFilter()
_HEADROOM = 1_024
"""Bytes of a message that its headers may take of the server's bound."""


class NatsPublisher:
    """InvalidInput if the client library is not installed."""

    def __init__(
        self,
        settings: NatsSettings,
        registry: str,
        events: EventLog,
        position: Position,
        lease: Lease,
        threads: Threads,
    ) -> None:
        try:
            import nats
        except ImportError:
            raise InvalidInput("--nats needs a client: pip install 'cachd[nats]'") from None
        self._nats = nats
        self._settings = settings
        self._registry = registry
        self._events = events
        self._position = position
        self._lease = lease
        self._threads = threads

    async def run(self) -> None:
        """Until it is cancelled; NotOwner when another publishes by now."""
        pause_s = NATS_RETRY_S_MIN
        while True:
            try:
                client = await self._connect()
                pause_s = NATS_RETRY_S_MIN
                try:
                    await self._publish_all(client)
                finally:
                    await client.close()
            except (self._nats.errors.Error, OSError, TimeoutError) as error:
                said = str(error) or type(error).__name__
                _log.warning("NATS does not take events", error=said, again_in_s=pause_s)
                await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
                pause_s = min(2 * pause_s, NATS_RETRY_S_MAX)

    async def _connect(self) -> Client:
        return await self._nats.connect(
            self._settings.servers,
            name="cachd authority",
            allow_reconnect=False,  # a new connection begins with what is not acknowledged
            connect_timeout=NATS_CONNECT_S,
            error_cb=_already_told,
        )

    async def _publish_all(self, client: Client) -> None:
        stream = client.jetstream(timeout=NATS_ACK_S)
        await self._have_stream(stream)
        position = await self._threads.run(self._position.get)
        while True:
            batch = await self._events.beyond(_ALL, position)
            for event in batch.events:
                await self._publish(client, stream, event)
            position = batch.next
            await self._move(position)

    async def _move(self, position: int) -> None:
        await self._threads.run(lambda: self._position.move(position))

    async def _publish(
        self, client: Client, stream: JetStreamContext, event: dict[str, Any]
    ) -> None:
        if not self._lease.held:
            raise NotOwner("this authority could not renew its lease: another may publish by now")
        body = msgspec.json.encode(event)
        if len(body) > client.max_payload - _HEADROOM:
            body = msgspec.json.encode(_without_states(event))
        headers = {
            "Nats-Msg-Id": message_id(self._registry, int(event["id"])),
            "Content-Type": CONTENT_TYPE,
        }
        subject = subject_of(self._registry, event)
        await stream.publish(subject, body, stream=self._settings.stream, headers=headers)

    async def _have_stream(self, stream: JetStreamContext) -> None:
        """A stream that is there is left as it is."""
        from nats.js.api import StreamConfig
        from nats.js.errors import NotFoundError

        try:
            await stream.stream_info(self._settings.stream)
        except NotFoundError:
            await stream.add_stream(
                StreamConfig(
                    name=self._settings.stream,
                    subjects=["cachd.>"],
                    duplicate_window=NATS_DUPLICATES_S,
                )
            )


def subject_of(registry: str, event: dict[str, Any]) -> str:
    model = event["data"].get("model", "_").replace(".", "%2E")
    return f"cachd.{registry}.{event['type'].removeprefix(PREFIX)}.{model}"


def _without_states(event: dict[str, Any]) -> dict[str, Any]:
    """For a server that takes no message of that size: what happened, without before and after."""
    data = {key: value for key, value in event["data"].items() if key not in ("before", "after")}
    return event | {"data": data | {"shortened": True}}


async def _already_told(_: Exception) -> None:
    """Each error is raised where it matters as well."""
