"""Webhooks of an authority, over HTTP. No change is repeated by itself: secrets are told once."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from cachd.control import documents
from cachd.control import documents_webhooks as bodies
from cachd.control.http import HttpClient
from registry_core.ledger.webhooks.records import AttemptRecord, DeadLetterRecord, WebhookRecord


class RemoteWebhooks:
    """Thread-safe. Errors are those of registry_core, Busy and AuthorityUnavailable."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def add(self, body: bodies.WebhookBody) -> bodies.WebhookMadeBody:
        return self._ask(bodies.WebhookMadeBody, "POST", "", body)

    def all(self) -> bodies.WebhooksBody:
        return self._ask(bodies.WebhooksBody, "GET", "")

    def get(self, name: str) -> WebhookRecord:
        return self._ask(WebhookRecord, "GET", _path(name))

    def remove(self, name: str) -> None:
        self._ask(documents.DoneBody, "DELETE", _path(name))

    def test(self, name: str) -> AttemptRecord:
        return self._ask(AttemptRecord, "POST", f"{_path(name)}/test")

    def enable(self, name: str) -> WebhookRecord:
        return self._ask(WebhookRecord, "POST", f"{_path(name)}/enable")

    def rotate(self, name: str, secret: str) -> bodies.SecretBody:
        return self._ask(
            bodies.SecretBody, "POST", f"{_path(name)}/secret", bodies.RotateBody(secret)
        )

    def deliveries(self, name: str) -> list[AttemptRecord]:
        return self._ask(bodies.DeliveriesBody, "GET", f"{_path(name)}/deliveries").deliveries

    def dead_letters(self, name: str) -> list[DeadLetterRecord]:
        found = self._ask(bodies.DeadLettersBody, "GET", f"{_path(name)}/dead-letters")
        return found.dead_letters

    def redeliver(self, name: str, sequence: int) -> AttemptRecord:
        path = f"{_path(name)}/dead-letters/{sequence}/redelivery"
        return self._ask(AttemptRecord, "POST", path)

    def _ask(
        self, kind: type[documents.T], method: str, path: str, body: msgspec.Struct | None = None
    ) -> documents.T:
        sent = documents.encode(body) if body is not None else b""
        data = self._client.request(method, f"/v1/webhooks{path}", sent)
        return documents.decode(kind, data, "the authority's answer")


def _path(name: str) -> str:
    return f"/{quote(name, safe='')}"
