"""Saying things about models and versions, and finding versions by what was said.

registry.metadata.annotate("fraud/3", {"metrics.auc": 0.93, "lineage.git_commit": "4f2c…"})
registry.metadata.search("metrics.auc > 0.9 AND tags.team = 'fraud'")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from registry_core.control.metadata import MetadataControl
from registry_core.control.protocol import Control
from registry_core.domain.identifiers import ModelName, VersionRef
from registry_core.domain.metadata import parse_metric
from registry_core.ledger.change import Change
from registry_core.ledger.records import ModelRecord, VersionRecord
from registry_core.ledger.search import Page, Query

PAGE_SIZE = 100


class Metadata:
    """`Registry.metadata`."""

    def __init__(
        self, control: Control, metadata: MetadataControl, change: Callable[[str], Change]
    ) -> None:
        self._control = control
        self._metadata = metadata
        self._change = change

    def annotate(
        self, version: str, fields: Mapping[str, Any], *, reason: str = ""
    ) -> VersionRecord:
        """Set `notes`, `schema`, `tags.KEY`, `metrics.KEY` (numbers) and `lineage.KEY` of a version
        (`NAME/NUMBER`, `NAME@STAGE`); None takes a field away."""
        found = self._control.resolve(VersionRef.parse(version)).version
        return self._metadata.annotate_version(
            ModelName.parse(found.model), found.number, with_metrics(fields), self._change(reason)
        )

    def annotate_model(
        self, model: str, fields: Mapping[str, Any], *, reason: str = ""
    ) -> ModelRecord:
        """Set `notes`, `tags.KEY` and `retention.keep_newest`, `retention.keep_days`."""
        return self._metadata.annotate_model(
            ModelName.parse(model), dict(fields), self._change(reason)
        )

    def delete(self, version: str, *, reason: str = "") -> VersionRecord:
        """Delete a version (`NAME/NUMBER`), which no stage may name. Its number is never used
        again; the same files pushed again are a new version."""
        found = self._control.resolve(VersionRef.parse(version)).version
        return self._metadata.delete_version(
            ModelName.parse(found.model), found.number, self._change(reason)
        )

    def search(
        self, filter: str = "", *, order_by: str = "", page_size: int = PAGE_SIZE,  # noqa: A002
        page_token: str = "",
    ) -> Page:  # fmt: skip
        """One page of the versions that match; `Page.next` is the token of the one after."""
        return self._metadata.search(Query.parse(filter, order_by, page_size, page_token))

    def search_all(self, filter: str = "", *, order_by: str = "") -> Iterator[VersionRecord]:  # noqa: A002
        """All versions that match, page by page as they are wanted."""
        token = ""
        while True:
            page = self.search(filter, order_by=order_by, page_size=1000, page_token=token)
            yield from page.versions
            token = page.next
            if not token:
                return


def with_metrics(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with metrics as the ledger keeps them."""
    return {
        field: parse_metric(value, field)
        if field.startswith("metrics.") and value is not None
        else value
        for field, value in fields.items()
    }
