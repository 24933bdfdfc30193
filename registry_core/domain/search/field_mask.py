"""Which fields an answer shows: `number,tags.team,metrics` (Google AIP-157)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from registry_core.domain.search.query_text import check_query_text
from registry_core.errors import InvalidInput

Mask = tuple[tuple[str, str | None], ...]


def parse_mask(text: str, known: Collection[str]) -> Mask:
    """(field, member or None) of each; `known` are the fields there are. Empty: everything."""
    check_query_text(text, "fields")
    mask = []
    for item in (part.strip() for part in text.split(",")) if text.strip() else ():
        field, dot, member = item.partition(".")
        if field not in known or (dot and not member):
            raise InvalidInput(f"fields: {item!r:.80} is not known: {', '.join(sorted(known))}")
        mask.append((field, member if dot else None))
    return tuple(mask)


def masked(document: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """`document` with the fields of `mask` alone."""
    if not mask:
        return dict(document)
    shown: dict[str, Any] = {}
    for field, member in mask:
        value = document.get(field)
        if member is None:
            shown[field] = value
        elif isinstance(value, Mapping) and shown.get(field) is not value:
            found = {member: value[member]} if member in value else {}
            shown[field] = shown.get(field, {}) | found
    return shown
