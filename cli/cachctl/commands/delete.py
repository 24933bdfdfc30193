"""`cachctl delete`: a version goes, a tombstone stays."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings


@click.command(name="delete")
@click.argument("version", metavar="NAME/NUMBER")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, version: str, reason: str) -> None:
    """Delete a version that no stage has as its current or previous one. Its number is never used
    again, and the log keeps what it was.

    \b
    Examples:
      cachctl delete fraud/2 --reason 'trained on the wrong data'
    """
    with settings.open(readonly=False) as registry:
        gone = registry.metadata.delete(version, reason=reason)
    name = f"{gone.model}/{gone.number}"
    if settings.as_json:
        emit_json({"deleted": name, "digest": gone.digest})
    else:
        emit_line(f"{name} is deleted")
