"""`cachctl approve`: one more signature over a proposed move."""

from __future__ import annotations

import click

from cachctl.approval_output import emit_approval
from cachctl.target import Settings, with_settings


@click.command(name="approve")
@click.argument("stage", metavar="NAME@STAGE")
@click.argument("proposal", default="")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, stage: str, proposal: str, reason: str) -> None:
    """Sign the move that is proposed for NAME@STAGE, with your key; PROPOSAL is its id if there are
    several. Whoever brings the last signature that the policy asks for moves the stage.

    \b
    Examples:
      cachctl approve fraud@production --reason 'looked at the evaluation'
      cachctl approve fraud@production 1f0e7c2a --keys ~/keys
    """
    with settings.open(readonly=False) as registry:
        made = registry.approvals.approve(stage, proposal, reason=reason)
    emit_approval(stage, made, as_json=bool(settings.as_json))
