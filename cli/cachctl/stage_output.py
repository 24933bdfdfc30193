"""How a stage is shown after it changed, and in lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cachctl.output import emit_json

if TYPE_CHECKING:
    from registry_core.ledger.records import StageRecord


def stage_json(stage: StageRecord) -> dict[str, Any]:
    return {
        "model": stage.model,
        "stage": stage.stage,
        "guard": str(stage.guard),
        "generation": stage.generation,
        "choice": stage.choice,
        "in_force": {"number": stage.in_force.number, "digest": stage.in_force.digest},
        "version": stage.version.number,
        "previous": stage.previous.number if stage.previous else None,
        "changed_ms": stage.changed_ms,
        "actor": stage.actor,
        "reason": stage.reason,
    }


def emit_changed(before: int | None, stage: StageRecord, *, as_json: bool | None) -> None:
    """Say what is in force now; `before` is the number that was."""
    if as_json:
        emit_json(stage_json(stage))
        return
    was = f"{before} -> " if before is not None else ""
    click.echo(f"{stage.model}@{stage.stage}: {was}{stage.in_force.number} (now {stage.guard})")
