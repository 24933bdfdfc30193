"""Stages in this process's memory, with a lock around check and change, or without.

Not the registry: what the test of the histories is itself tested with. Without the lock, promoters
who saw the same state can all find their guard to hold, and all win.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from registry_core.domain.identifiers import Guard, ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.stage import EMPTY, StageState
from registry_core.ledger.change import Change
from registry_core.ledger.records import PointRecord, StageRecord
from registry_core.trust.dsse import Envelope


class StagesInMemory:
    """A StageControl. `atomic`: check and change are one step to all threads."""

    def __init__(self, *, atomic: bool) -> None:
        self._turn: AbstractContextManager[object] = threading.Lock() if atomic else nullcontext()
        self._stages: dict[StageName, StageState] = {}

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None:
        state = self._stages.get(stage)
        return _record(model, stage, state) if state else None

    def move(
        self, move: Move, envelope: Envelope | None, guard: Guard | None, change: Change
    ) -> StageRecord:
        return self._change(move.model, move.stage, guard, lambda state: state.after_move(move))

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard | None, change: Change
    ) -> StageRecord:
        name = f"{model}@{stage}"
        return self._change(model, stage, guard, lambda state: state.after_choice(name))

    def _change(
        self, model: ModelName, stage: StageName, guard: Guard | None,
        after: Callable[[StageState], StageState],
    ) -> StageRecord:  # fmt: skip
        with self._turn:
            state = self._stages.get(stage, EMPTY)
            state.require(guard or EMPTY.guard, f"{model}@{stage}")
            changed = after(state)
            time.sleep(0)  # between check and change other threads run
            self._stages[stage] = changed
        return _record(model, stage, changed)


def _record(model: ModelName, stage: StageName, state: StageState) -> StageRecord:
    version = _point(state.version)
    assert version is not None
    return StageRecord(
        model=model.text,
        stage=stage.text,
        generation=state.generation,
        choice=state.choice,
        version=version,
        previous=_point(state.previous),
        move_sequence=0,
        sequence=0,
        changed_ms=0,
        actor="",
        reason="",
    )


def _point(point: VersionPoint | None) -> PointRecord | None:
    return PointRecord(point.number, str(point.digest)) if point else None
