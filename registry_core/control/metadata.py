"""What people say about models and versions, and finding versions by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from registry_core.domain.identifiers import ModelName
from registry_core.ledger.change import Change
from registry_core.ledger.records import ModelRecord, VersionRecord
from registry_core.ledger.search import Page, Query


class MetadataControl(Protocol):
    """`fields` are as in `registry_core.domain.metadata`: field -> value, None takes it away."""

    def annotate_version(
        self, model: ModelName, number: int, fields: Mapping[str, Any], change: Change
    ) -> VersionRecord: ...

    def annotate_model(
        self, model: ModelName, fields: Mapping[str, Any], change: Change
    ) -> ModelRecord: ...

    def delete_version(self, model: ModelName, number: int, change: Change) -> VersionRecord:
        """Leave a tombstone. Conflict, while a stage or a proposal names the version."""
        ...

    def search(self, query: Query) -> Page:
        """Versions that match, a page at a time."""
        ...
