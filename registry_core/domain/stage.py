"""What a stage is, and how a move or a choice changes it. Pure.

`choice` counts within a generation: even means the move's version, odd its previous one. It only
ever grows, so `generation.choice` never shows the same value for two different states and is a safe
guard of compare-and-swap.

A split is an odd choice that gives a share of the requests to the move's version all the same: what
cannot split answers by the previous one. Setting a share, changing it and ending it are choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry_core.domain.identifiers import Guard
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.split import WHOLE, percent_text, require_part
from registry_core.errors import Conflict, InvalidInput, Stale


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage after its last move and choice; `EMPTY` before the first move."""

    generation: int
    choice: int
    version: VersionPoint | None
    previous: VersionPoint | None
    split: int = 0
    """Per mille of the requests that `version` answers while `previous` is in force."""

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

    def after_move(self, move: Move, split: int = 0) -> StageState:
        """The state after `move`, which must continue from exactly this one. With a `split` the
        new version answers that share only, and never more before."""
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
        moved = StageState(move.generation, 0, move.version, move.previous)
        return moved.after_split(name, require_part(split)) if split else moved

    def after_choice(self, name: str) -> StageState:
        """The state after a rollback, which ends a split, or after a rollback of a rollback."""
        if self.other is None:
            raise Conflict(f"{name} has no previous version to roll back to")
        back = self.split or not self.choice % 2
        return self.after_split(name, 0 if back else WHOLE)

    def after_split(self, name: str, split: int) -> StageState:
        """The state in which `split` per mille of the requests are answered by `version`, the
        others by `previous`; WHOLE and 0 put one of the two in force for all."""
        if self.previous is None:
            raise Conflict(f"{name} has no previous version that could answer the other requests")
        if not 0 <= split <= WHOLE:
            raise InvalidInput(f"a split of {split} per mille: it is between 0 and {WHOLE}")
        odd = split < WHOLE
        share = split if odd else 0
        if (self.choice % 2, self.split) == (odd, share):
            raise Conflict(
                f"version {self.version.number if self.version else 0} answers "
                f"{percent_text(split)} of the requests of {name} already: nothing to do"
            )
        step = 1 if self.choice % 2 != odd else 2
        return StageState(self.generation, self.choice + step, self.version, self.previous, share)


EMPTY = StageState(0, 0, None, None)


def point_in_force(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The version that hosts serve under `stage`, as an entry of the log or an answer has it."""
    point: dict[str, Any] = stage["previous"] if stage["choice"] % 2 else stage["version"]
    return point
