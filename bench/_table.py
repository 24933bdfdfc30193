"""Rows of figures as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line of names, a line for each row; a row without a figure shows nothing there. Figures of
    several parts (a spread, say) are left to the JSON."""
    said = (name for row in rows for name, value in row.items() if not isinstance(value, dict))
    names = list(dict.fromkeys(said))
    cells = [names, *([_shown(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if at else text.ljust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def _shown(value: object) -> str:
    return f"{value:,}" if type(value) is int else str(value)
