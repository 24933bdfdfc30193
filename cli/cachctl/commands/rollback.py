"""`cachctl rollback`: the other version of a stage's current move comes into force."""

from __future__ import annotations

from pathlib import Path

import click

from cachctl.stage_output import emit_changed, telling_state
from cachctl.target import Settings, with_settings
from registry_core.errors import InvalidInput


@click.command(name="rollback")
@click.argument("stage", metavar="NAME@STAGE")
@click.option("--expect", metavar="GENERATION.CHOICE", help="Only if the stage is still at this.")
@click.option("--reason", default="", help="Why, for the log.")
@click.option(
    "--local",
    is_flag=True,
    help="On this host alone, by its node: needs neither authority nor network.",
)
@click.option("--undo", is_flag=True, help="With --local: serve what the registry says again.")
@click.option(
    "--data",
    type=click.Path(readable=False, path_type=Path),
    help="With --local: --data of the node.",
)
@click.option(
    "--run",
    "run_dir",
    type=click.Path(readable=False, path_type=Path),
    help="With --local: --run of the node.  [default: /run/cachd]",
)
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(readable=False, path_type=Path),
    help="With --local: the node's control socket itself.",
)
@with_settings
def command(
    settings: Settings,
    stage: str,
    expect: str | None,
    reason: str,
    local: bool,
    undo: bool,
    data: Path | None,
    run_dir: Path | None,
    socket_path: Path | None,
) -> None:
    """Go back to the previous version of NAME@STAGE. A second rollback undoes the first.

    Hosts hold it resident: nothing is loaded or fetched, and no signature is needed.

    With --local one host goes back by itself, and is shown as diverged until the registry moves the
    stage on, or --undo.

    \b
    Examples:
      cachctl rollback minilm@production
      cachctl rollback minilm@production --expect 5.0 --reason 'errors at checkout'
      cachctl rollback minilm@production --local --reason 'authority is away'
      cachctl rollback minilm@production --local --undo
    """  # fmt: skip
    from registry_core.domain.identifiers import StageRef

    ref = StageRef.parse(stage)
    if local:
        from cachctl.local_rollback import control_socket, roll_back_here

        if expect is not None:
            raise InvalidInput("--expect goes with the registry's rollback, not with --local")
        roll_back_here(
            control_socket(socket_path, run_dir, data), ref, reason=reason, undo=undo,
            as_json=settings.as_json,
        )  # fmt: skip
        return
    if undo or data or run_dir or socket_path:
        raise InvalidInput("--undo, --data, --run and --socket go with --local")
    with settings.open(readonly=False) as registry, telling_state(registry, ref):
        chosen = registry.rollback(stage, expect=expect, reason=reason)
    emit_changed(chosen, as_json=settings.as_json)
