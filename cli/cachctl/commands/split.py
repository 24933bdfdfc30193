"""`cachctl split`: a percentage of a stage's requests goes to the version of its current move."""

from __future__ import annotations

import click

from cachctl.stage_output import emit_changed, telling_state
from cachctl.target import Settings, with_settings


@click.command(name="split")
@click.argument("stage", metavar="NAME@STAGE")
@click.argument("percent")
@click.option("--expect", metavar="GENERATION.CHOICE", help="Only if the stage is still at this.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, stage: str, percent: str, expect: str | None, reason: str) -> None:
    """Have the new version of NAME@STAGE answer PERCENT of the requests on every host.

    The previous version answers all others. 0 to 100 in steps of 0.1; 100 ends the split with the
    new version, 0 and `cachctl rollback` with the previous one. No signature is needed. To begin
    with a split, promote with one: `cachctl promote minilm@production 2 --split 5`.

    \b
    Examples:
      cachctl split minilm@production 50
      cachctl split minilm@production 100 --reason 'no errors in an hour'
    """
    from registry_core.domain.identifiers import StageRef

    ref = StageRef.parse(stage)
    with settings.open(readonly=False) as registry, telling_state(registry, ref):
        chosen = registry.split(stage, percent, expect=expect, reason=reason)
    emit_changed(chosen, as_json=settings.as_json)
