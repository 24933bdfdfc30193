"""What became of a proposal, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachctl.output import emit_json, emit_line
from cachctl.stage_output import serves, stage_json

if TYPE_CHECKING:
    from registry_core.changes.approvals import Approval


def emit_approval(stage: str, made: Approval, *, as_json: bool) -> None:
    if as_json:
        moved = stage_json(made.stage) if made.stage is not None else None
        emit_json({"proposal": made.proposal, "lacking": made.lacking, "stage": moved})
    elif made.stage is not None:
        emit_line(f"{stage} is at {made.stage.guard}: version {serves(made.stage)} in force")
    else:
        emit_line(f"proposal {made.proposal} for {stage} needs {made.lacking}")
