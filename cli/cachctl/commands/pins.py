"""`cachctl pins`: what is kept in memory, where, until when and why."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line, emit_table
from cachctl.pin_output import pin_json, until_text
from cachctl.target import Settings, with_settings


@click.command(name="pins")
@with_settings
def command(settings: Settings) -> None:
    """List versions that are pinned.

    \b
    Examples:
      cachctl pins
    """
    with settings.open(readonly=True) as registry:
        pins = registry.regions.pins()
    if settings.as_json:
        emit_json({"pins": [pin_json(one) for one in pins]})
    elif pins:
        rows = (
            (f"{one.model}/{one.number}", one.region, until_text(one), one.actor, one.reason)
            for one in pins
        )
        emit_table("", ["version", "region", "until", "by", "reason"], rows)
    else:
        emit_line("nothing is pinned")
