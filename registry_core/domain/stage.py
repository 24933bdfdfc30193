"""What a stage is, and how a move or a choice changes it. Pure.

`choice` counts the times that the version in force was toggled within a generation: even means
the move's version, odd its previous one. It only ever grows, so `generation.choice` never shows
the same value for two different states and is a safe guard of compare-and-swap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry_core.domain.identifiers import Guard
from registry_core.domain.move import Move, VersionPoint
from registry_core.errors import Conflict, Stale


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage after its last move and choice; `EMPTY` before the first move."""

    generation: int
    choice: int
    version: VersionPoint | None
    previous: VersionPoint | None

    @property
    def guard(self) -> Guard:
        return Guard(self.generation, self.choice)

    @property
    def in_force(self) -> VersionPoint | None:
        """The version that hosts serve under this state."""
        return self.previous if self.choice % 2 else self.version

    @property
    def other(self) -> VersionPoint | None:
        """The version that a rollback (or its undoing) would bring into force."""
        return self.version if self.choice % 2 else self.previous

    def require(self, expected: Guard, name: str) -> None:
        """Raise Stale unless the caller decided on exactly this state."""
        if expected != self.guard:
            raise Stale(
                f"{name} is at {self.guard}, not at {expected}: somebody changed it since you "
                "looked; read it again and decide again",
                expected=str(expected),
                actual=str(self.guard),
            )

    def after_move(self, move: Move) -> StageState:
        """The state after `move`, which must continue from exactly this one."""
        name = f"{move.model}@{move.stage}"
        if move.generation != self.generation + 1 or move.previous != self.in_force:
            raise Stale(
                f"the move to generation {move.generation} of {name} was made for another state "
                f"than {self.guard}: read the stage again and sign a new move",
                expected=f"{move.generation - 1}",
                actual=str(self.guard),
            )
        if self.in_force is not None and move.version.digest == self.in_force.digest:
            raise Conflict(f"{name} already serves version {move.version.number}: nothing to do")
        return StageState(move.generation, 0, move.version, move.previous)

    def after_choice(self, name: str) -> StageState:
        """The state after a rollback, or after a rollback of a rollback."""
        if self.other is None:
            raise Conflict(f"{name} has no previous version to roll back to")
        return StageState(self.generation, self.choice + 1, self.version, self.previous)


EMPTY = StageState(0, 0, None, None)


def point_in_force(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The version that hosts serve under `stage`, as an entry of the log or an answer has it."""
    point: dict[str, Any] = stage["previous"] if stage["choice"] % 2 else stage["version"]
    return point
