"""Metadata and search over HTTP: see `registry_core.control.metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from cachd.control import documents
from cachd.control.calls import Calls
from cachd.control.documents import ChangeBody
from registry_core.domain.identifiers import ModelName
from registry_core.ledger.change import Change
from registry_core.ledger.records import ModelRecord, VersionRecord
from registry_core.ledger.search import Page, Query


class RemoteMetadata:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def annotate_version(
        self, model: ModelName, number: int, fields: Mapping[str, Any], change: Change
    ) -> VersionRecord:
        body = documents.AnnotateBody(dict(fields), ChangeBody.of(change))
        path = f"/v1/models/{model}/versions/{number}"
        return self._calls.change("PATCH", VersionRecord, path, body, change)

    def annotate_model(
        self, model: ModelName, fields: Mapping[str, Any], change: Change
    ) -> ModelRecord:
        body = documents.AnnotateBody(dict(fields), ChangeBody.of(change))
        return self._calls.change("PATCH", ModelRecord, f"/v1/models/{model}", body, change)

    def delete_version(self, model: ModelName, number: int, change: Change) -> VersionRecord:
        body = documents.ChoiceBody(ChangeBody.of(change))
        path = f"/v1/models/{model}/versions/{number}"
        return self._calls.change("DELETE", VersionRecord, path, body, change)

    def search(self, query: Query) -> Page:
        filter_text, _, order_by = query.text.partition("\0")
        asked = urlencode(
            {"filter": filter_text, "order_by": order_by, "page_size": query.page_size,
             "page_token": query.token}
        )  # fmt: skip
        body = self._calls.get(documents.PageBody, f"/v1/versions?{asked}")
        return Page(body.versions, body.next)
