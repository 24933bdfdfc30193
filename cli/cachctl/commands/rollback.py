"""`cachctl rollback`: the other version of a stage's current move comes into force."""

from __future__ import annotations

import click

from cachctl.stage_output import emit_changed, telling_state
from cachctl.target import Settings, with_settings


@click.command(name="rollback")
@click.argument("stage", metavar="NAME@STAGE")
@click.option("--expect", metavar="GENERATION.CHOICE", help="Only if the stage is still at this.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, stage: str, expect: str | None, reason: str) -> None:
    """Go back to the previous version of NAME@STAGE. A second rollback undoes the first.

    Hosts hold it resident: nothing is loaded or fetched, and no signature is needed.

    \b
    Examples:
      cachctl rollback minilm@production
      cachctl rollback minilm@production --expect 5.0 --reason 'errors at checkout'
    """
    from registry_core.domain.identifiers import StageRef

    ref = StageRef.parse(stage)
    with settings.open(readonly=False) as registry, telling_state(registry, ref):
        chosen = registry.rollback(stage, expect=expect, reason=reason)
    emit_changed(chosen, as_json=settings.as_json)
