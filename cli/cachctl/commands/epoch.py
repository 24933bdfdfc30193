"""`cachctl epoch`: going on after entries of the log were lost."""

from __future__ import annotations

import click
import msgspec

from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings


@click.command(name="epoch")
@click.option("--open", "opening", is_flag=True, help="Open the next one, with the owner's key.")
@click.option("--reason", default="", help="Why, for the log.")
@with_settings
def command(settings: Settings, opening: bool, reason: str) -> None:
    """Show the log's epoch, and whether entries of it are known to be lost.

    After a restore that lost entries, nodes may hold more of the log than the registry. They go on
    serving, and refuse its log until an owner opens a new epoch: a signed statement that the log is
    kept as it is. Moves wait for it; reads and rollbacks do not.

    \b
    Examples:
      cachctl epoch
      cachctl epoch --open --reason 'restored from the backup of 14:03'
    """
    with settings.open(readonly=not opening) as registry:
        recovery = registry.recovery
        state = recovery.open_epoch(reason=reason) if opening else recovery.state()
    if settings.as_json:
        emit_json(msgspec.to_builtins(state))
        return
    emit_line(f"epoch {state.epoch}, {state.size} log entries")
    if state.lost:
        emit_line(f"{state.lost}: `cachctl epoch --open` goes on from here")
