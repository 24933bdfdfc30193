"""How a stage is shown after it changed, and in lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cachctl.output import emit_json, emit_line

if TYPE_CHECKING:
    from cachctl.whereabouts import Whereabouts
    from registry_core.domain.identifiers import StageRef
    from registry_core.ledger.records import StageRecord
    from registry_core.registry import Registry


def stage_json(stage: StageRecord) -> dict[str, Any]:
    """As an authority's `status` shows it, too."""
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(stage)
    return shown | {"guard": str(stage.guard), "in_force": msgspec.to_builtins(stage.in_force)}


def emit_changed(
    stage: StageRecord, *, as_json: bool | None, regions: Sequence[Whereabouts] | None = None
) -> None:
    """Say from which version to which a stage just went: of the two that its move names, the one
    that is not in force now was in force before. With a split both are."""
    other = None if stage.split else stage.state.other
    if as_json:
        where = {} if regions is None else {"regions": [asdict(one) for one in regions]}
        emit_json(stage_json(stage) | {"replaced": other.number if other else None} | where)
        return
    was = f"{other.number} -> " if other else ""
    emit_line(f"{stage.model}@{stage.stage}: {was}{serves(stage)} (now {stage.guard})")


def serves(stage: StageRecord) -> str:
    """The version in force, and what a split gives to the other: `1, 5% to 2`."""
    from registry_core.domain.split import percent_text

    told = f", {percent_text(stage.split)} to {stage.version.number}" if stage.split else ""
    return f"{stage.in_force.number}{told}"


@contextmanager
def telling_state(registry: Registry, ref: StageRef) -> Iterator[None]:
    """Whoever comes too late is told the stage as it is now."""
    from cachctl.errors import StaleStage
    from registry_core.errors import Stale

    try:
        yield
    except Stale as error:
        raise StaleStage(error, registry.control.find_stage(ref.model, ref.stage)) from error
