"""`cachctl promote`: a stage moves to a version."""

from __future__ import annotations

import click

from cachctl.stage_output import emit_changed, telling_state
from cachctl.target import Settings, with_settings


@click.command(name="promote")
@click.argument("stage", metavar="NAME@STAGE")
@click.argument("version")
@click.option(
    "--expect",
    metavar="GENERATION.CHOICE",
    help="Only if the stage is still at this, as `show` and `status` tell it.",
)
@click.option(
    "--split",
    metavar="PERCENT",
    help="The new version answers this percentage of the requests, the previous one all others, "
    "until `cachctl split` says otherwise.",
)
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(
    settings: Settings,
    stage: str,
    version: str,
    expect: str | None,
    split: str | None,
    reason: str,
) -> None:
    """Point NAME@STAGE at VERSION (a number or sha256:…), signed with your key.

    Of several who promote at once exactly one wins; the others exit with 5 and are told the state.
    Where there are several regions, it says which of them hold the version.

    \b
    Examples:
      cachctl promote minilm@production 2
      cachctl promote minilm@production 2 --expect 4.0 --reason 'better recall'
      cachctl promote minilm@production 2 --split 5
    """
    from cachctl.whereabouts import emit_whereabouts, whereabouts
    from registry_core.domain.identifiers import StageRef

    ref = StageRef.parse(stage)
    with settings.open(readonly=False) as registry, telling_state(registry, ref):
        target = registry.version(ref.model, version)
        found = whereabouts(registry, target)  # before the move: what comes after it cannot fail
        moved = registry.promote(stage, version, split=split, expect=expect, reason=reason)
    emit_changed(moved, as_json=settings.as_json, regions=found)
    if not settings.as_json:
        emit_whereabouts(found, target)
