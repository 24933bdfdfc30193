"""`cachctl backup`: the log's second copy, in the origin."""

from __future__ import annotations

from typing import Any

import click

from cachctl.controls import embedded_control, remote_control
from cachctl.output import emit_json, emit_line
from cachctl.target import Settings, with_settings


@click.command(name="backup")
@with_settings
def command(settings: Settings) -> None:
    """Say how far the backup of the log is. Of an embedded registry, bring it up to date first.

    An authority backs its log up by itself, within a second of each change.

    \b
    Examples:
      cachctl backup
      cachctl backup --json --registry http://127.0.0.1:7420
    """
    said = _ask(settings) if settings.is_remote else _bring_up_to_date(settings)
    if settings.as_json:
        emit_json(said)
        return
    behind = f", {said['behind']} behind for {said['lag_s']:.1f} s" if said["behind"] else ""
    off = "" if said["wanted"] else " (switched off: the authority runs with --no-backup)"
    emit_line(f"{said['position']} log entries are in the origin{behind}{off}")
    if said["error"]:
        emit_line(f"problem: {said['error']}")


def _ask(settings: Settings) -> dict[str, Any]:
    import msgspec

    with settings.open(readonly=True) as registry:
        said: dict[str, Any] = msgspec.to_builtins(remote_control(registry).backup())
    return said


def _bring_up_to_date(settings: Settings) -> dict[str, Any]:
    from registry_core.backup.writer import BackupWriter

    with settings.open(readonly=False) as registry:
        control = embedded_control(registry)
        position = BackupWriter(control.ledger, control.root(), registry.origin).run_once()
    return {"wanted": True, "position": position, "behind": 0, "lag_s": 0.0, "error": ""}
