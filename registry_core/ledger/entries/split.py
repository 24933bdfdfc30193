"""The split that an entry's outcome tells."""

from __future__ import annotations

from registry_core.domain.entry import Entry
from registry_core.ledger.entries.require import require


def split_of(entry: Entry) -> int:
    """Per mille; 0, where the field is left out."""
    split: int = entry.after.get("split", 0)
    require(type(split) is int, entry, "has a split that is no integer")
    return split
