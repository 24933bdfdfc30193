"""Webhooks: where events are sent to, with what secret, and what came of it."""

from __future__ import annotations

import asyncio
import os

from aiohttp import web

from cachd.api.answers import answer
from cachd.api.operations import Operation
from cachd.api.parsing import body_of
from cachd.api.writes import Writes
from cachd.authority.delivery.addresses import is_refused
from cachd.authority.delivery.delivery import Delivery
from cachd.control import documents_webhooks as documents
from cachd.control.documents import DoneBody
from registry_core.domain.cloud_event import EventFilter
from registry_core.domain.identifiers import ModelName
from registry_core.domain.standard_webhooks import Secret
from registry_core.domain.webhook_url import WebhookUrl
from registry_core.errors import InvalidInput
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.webhooks.records import AttemptRecord, WebhookRecord
from registry_core.ledger.webhooks.webhooks import Webhooks

_ALL = "/v1/webhooks"
_ONE = "/v1/webhooks/{webhook}"
_SECRET_BYTES = 32


class WebhooksApi:
    def __init__(self, ledger: Ledger, delivery: Delivery, writes: Writes) -> None:
        self._ledger = ledger
        self._delivery = delivery
        self._writes = writes
        self._webhooks = Webhooks(ledger.store)

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", _ALL, self.webhooks,
                      "Webhooks and how far they are", documents.WebhooksBody),
            Operation("POST", _ALL, self.create_webhook,
                      "Send events to a URL; the same again has no effect",
                      documents.WebhookMadeBody, documents.WebhookBody),
            Operation("GET", _ONE, self.webhook, "One webhook", WebhookRecord),
            Operation("DELETE", _ONE, self.delete_webhook,
                      "Forget a webhook, its history and dead letters", DoneBody),
            Operation("POST", f"{_ONE}/test", self.test_webhook,
                      "Send a test event now; what came back", AttemptRecord),
            Operation("POST", f"{_ONE}/enable", self.enable_webhook,
                      "Deliver on, at once, where it was disabled or waits", WebhookRecord),
            Operation("POST", f"{_ONE}/secret", self.rotate_secret,
                      "Sign with another secret, and for a day with both",
                      documents.SecretBody, documents.RotateBody),
            Operation("GET", f"{_ONE}/deliveries", self.deliveries,
                      "The last attempts, newest first", documents.DeliveriesBody),
            Operation("GET", f"{_ONE}/dead-letters", self.dead_letters,
                      "Events that were given up", documents.DeadLettersBody),
            Operation("POST", f"{_ONE}/dead-letters/{{sequence}}/redelivery", self.redeliver,
                      "Send a dead letter once more; it is forgotten if it arrives",
                      AttemptRecord),
        ]  # fmt: skip

    async def webhooks(self, request: web.Request) -> web.StreamResponse:
        found = await asyncio.to_thread(self._webhooks.all)
        return answer(documents.WebhooksBody(found, await asyncio.to_thread(self._ledger.size)))

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        return answer(await asyncio.to_thread(lambda: self._webhooks.get(name)))

    async def create_webhook(self, request: web.Request) -> web.StreamResponse:
        body = await body_of(request, documents.WebhookBody)
        url = WebhookUrl.parse(body.url)
        if is_refused(url.host):
            raise InvalidInput(f"url: {url.host} is a link-local or metadata address")
        model = ModelName.parse(body.model).text if body.model else ""
        wanted, secret = EventFilter.parse(body.types, model), _secret(body.secret)
        made, created = await self._writes.run(
            lambda: self._webhooks.create(body.name, url, wanted, secret, body.start)
        )
        self._delivery.poke()
        return answer(documents.WebhookMadeBody(made, secret.text if created else ""))

    async def delete_webhook(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        await self._writes.run(lambda: self._webhooks.delete(name))
        self._delivery.poke()
        return answer(DoneBody())

    async def test_webhook(self, request: web.Request) -> web.StreamResponse:
        return answer(await self._delivery.test(_name(request)))

    async def enable_webhook(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        made = await self._writes.run(lambda: self._webhooks.enable(name))
        self._delivery.poke()
        return answer(made)

    async def rotate_secret(self, request: web.Request) -> web.StreamResponse:
        name, body = _name(request), await body_of(request, documents.RotateBody)
        secret = _secret(body.secret)
        until_ms = await self._writes.run(lambda: self._webhooks.rotate(name, secret))
        self._delivery.poke()
        return answer(documents.SecretBody(secret.text, until_ms))

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        found = await asyncio.to_thread(lambda: self._webhooks.history(name))
        return answer(documents.DeliveriesBody(list(found)))

    async def dead_letters(self, request: web.Request) -> web.StreamResponse:
        name = _name(request)
        found = await asyncio.to_thread(lambda: self._webhooks.dead_letters(name))
        return answer(documents.DeadLettersBody(list(found)))

    async def redeliver(self, request: web.Request) -> web.StreamResponse:
        sequence = _sequence(request)
        return answer(await self._delivery.redeliver(_name(request), sequence))


def _name(request: web.Request) -> str:
    return request.match_info["webhook"]


def _sequence(request: web.Request) -> int:
    text = request.match_info["sequence"]
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) >= 1):
        raise InvalidInput(f"sequence {text!r:.40} is not a position of the log")
    return int(text)


def _secret(text: str) -> Secret:
    return Secret.parse(text) if text else Secret(os.urandom(_SECRET_BYTES))
