"""Refusing an entry that does not follow from the tables: the log was not made by these rules."""

from __future__ import annotations

from registry_core.domain.entry import Entry
from registry_core.errors import IntegrityError


def require(holds: bool, entry: Entry, complaint: str) -> None:
    """Raise IntegrityError unless `holds`; `complaint` continues "log entry 7 (stage.moved) …"."""
    if not holds:
        raise IntegrityError(f"log entry {entry.sequence} ({entry.type}) {complaint}")
