"""`cachctl history`: who changed what, when and why."""

from __future__ import annotations

import click

from cachctl.entry_output import brief, entry_json
from cachctl.output import emit_json, emit_table, time_text
from cachctl.target import Settings, with_settings


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
        emit_json({"model": model, "entries": [entry_json(entry) for entry in entries]})
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
                brief(entry.before),
                brief(entry.after),
                entry.reason,
            )
            for entry in entries
        ),
    )
