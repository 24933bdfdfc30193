"""`cachctl propose`: a move that needs other people's signatures."""

from __future__ import annotations

import click

from cachctl.approval_output import emit_approval
from cachctl.target import Settings, with_settings


@click.command(name="propose")
@click.argument("stage", metavar="NAME@STAGE")
@click.argument("version", metavar="VERSION")
@click.option(
    "--split",
    metavar="PERCENT",
    help="Once moved, the new version answers this percentage of the requests only.",
)
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, stage: str, version: str, split: str | None, reason: str) -> None:
    """Propose to move NAME@STAGE to VERSION (its number or sha256:…), signed with your key. The
    stage moves when enough others have approved; any change of it before voids the proposal.

    \b
    Examples:
      cachctl propose fraud@production 3 --reason 'better recall'
    """
    with settings.open(readonly=False) as registry:
        made = registry.approvals.propose(stage, version, split=split, reason=reason)
    emit_approval(stage, made, as_json=bool(settings.as_json))
