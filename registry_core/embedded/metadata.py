"""Metadata and search over the ledger in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry_core.changes import models, versions
from registry_core.domain.identifiers import ModelName
from registry_core.ledger.change import Change
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import ModelRecord, VersionRecord
from registry_core.ledger.search import Page, Query, search


class EmbeddedMetadata:
    """See `registry_core.control.metadata`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def annotate_version(
        self, model: ModelName, number: int, fields: Mapping[str, Any], change: Change
    ) -> VersionRecord:
        return self._ledger.commit(
            lambda commit: versions.annotate_version(commit, model, number, fields, change)
        )

    def annotate_model(
        self, model: ModelName, fields: Mapping[str, Any], change: Change
    ) -> ModelRecord:
        return self._ledger.commit(
            lambda commit: models.annotate_model(commit, model, fields, change)
        )

    def delete_version(self, model: ModelName, number: int, change: Change) -> VersionRecord:
        return self._ledger.commit(
            lambda commit: versions.delete_version(commit, model, number, change)
        )

    def search(self, query: Query) -> Page:
        with self._ledger.read() as txn:
            return search(txn, query)
