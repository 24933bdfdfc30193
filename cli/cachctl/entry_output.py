"""Log entries as commands show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from registry_core.domain.split import percent_text
from registry_core.domain.stage import point_in_force

if TYPE_CHECKING:
    from registry_core.domain.entry import Entry

_CHARS_MAX = 40


def entry_json(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(entry)
    return shown


def brief(state: Any) -> str:
    """A stage as `guard=version`, a version as its number, changed fields as `field=value`."""
    if not isinstance(state, dict):
        return "-"
    if "generation" in state:
        split = state.get("split", 0)
        told = f" ({percent_text(split)} to {state['version']['number']})" if split else ""
        return f"{state['generation']}.{state['choice']}={point_in_force(state)['number']}{told}"
    if "number" in state:
        return str(state["number"])
    said = ", ".join(
        f"{name}={value}" for name, value in sorted(state.items())
        if name != "envelope" and not isinstance(value, dict | list)
    )  # fmt: skip
    return said if len(said) <= _CHARS_MAX else said[: _CHARS_MAX - 1] + "…"
