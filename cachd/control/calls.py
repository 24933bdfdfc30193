"""Typed requests to an authority: what the parts of RemoteControl are made of."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from cachd.control import documents
from cachd.control.http import HttpClient
from registry_core.domain.identifiers import Guard
from registry_core.errors import NotFound
from registry_core.ledger.change import Change


class Calls:
    """Thread-safe. Errors are those of registry_core, Busy and AuthorityUnavailable."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client

    def get(self, kind: type[documents.T], path: str) -> documents.T:
        data = self.client.request("GET", quote(path, safe="/?=&:%@+"))
        return documents.decode(kind, data, "the authority's answer")

    def find(self, kind: type[documents.T], path: str) -> documents.T | None:
        try:
            return self.get(kind, path)
        except NotFound:
            return None

    def change(
        self,
        method: str,
        kind: type[documents.T],
        path: str,
        body: msgspec.Struct,
        change: Change,
        guard: Guard | None = None,
    ) -> documents.T:
        """A change. Its request id is its Idempotency-Key, so that it may be asked again."""
        headers = {"Idempotency-Key": change.request_id} if change.request_id else {}
        if guard is not None:
            headers["If-Match"] = f'"{guard}"'
        data = self.client.request(method, path, documents.encode(body), headers)
        return documents.decode(kind, data, "the authority's answer")
