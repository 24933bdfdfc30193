"""`cachctl reject`: a proposed move is closed."""

from __future__ import annotations

import click

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings


@click.command(name="reject")
@click.argument("stage", metavar="NAME@STAGE")
@click.argument("proposal", default="")
@click.option("--reason", required=True, help="Why, for the log.")
@with_settings
def command(settings: Settings, stage: str, proposal: str, reason: str) -> None:
    """Close the move that is proposed for NAME@STAGE.

    \b
    Examples:
      cachctl reject fraud@production --reason 'worse on Mondays'
    """
    with settings.open(readonly=False) as registry:
        closed = registry.approvals.reject(stage, proposal, reason=reason)
    if settings.as_json:
        emit_json({"rejected": closed.id, "stage": stage})
    else:
        emit_line(f"proposal {closed.id} for {stage} is closed")
