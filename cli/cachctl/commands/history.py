"""`cachctl history`: who changed what, when and why."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from cachctl.output import emit_json, emit_table, time_text
from cachctl.target import Settings, with_settings
from registry_core.domain.entry import Entry


@click.command(name="history")
@click.argument("model", metavar="NAME")
@click.option("--newest", default=50, show_default=True, type=click.IntRange(1, 1000))
@with_settings
def command(settings: Settings, model: str, newest: int) -> None:
    """Show the log's entries about a model, newest first.

    \b
    Examples:
      cachctl history minilm
      cachctl history minilm --newest 5 --json
    """
    with settings.open(readonly=True) as registry:
        entries = registry.history(model, newest=newest)
    if settings.as_json:
        emit_json({"model": model, "entries": [_entry_json(entry) for entry in entries]})
        return
    emit_table(
        "",
        ["#", "when", "who", "what", "before", "after", "why"],
        (
            (
                str(entry.sequence),
                time_text(entry.time_ms),
                entry.actor,
                f"{entry.type} {entry.subject.removeprefix(f'model/{model}').lstrip('/')}",
                _short(entry.before),
                _short(entry.after),
                entry.reason,
            )
            for entry in entries
        ),
    )


def _entry_json(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(entry)
    return shown


def _short(state: Any) -> str:
    """A stage as `guard=version`, a version as its number."""
    if not isinstance(state, dict):
        return "-"
    if "generation" in state:
        force = state["previous"] if state["choice"] % 2 else state["version"]
        return f"{state['generation']}.{state['choice']}={force['number']}"
    return str(state.get("number", ""))
