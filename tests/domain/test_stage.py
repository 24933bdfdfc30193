"""A stage through its life: the guard only grows, and no two states ever show the same one."""

from __future__ import annotations

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers

from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.stage import EMPTY, StageState
from registry_core.errors import Conflict, Stale

MODEL, STAGE = ModelName("m"), StageName("production")


def point(number: int) -> VersionPoint:
    return VersionPoint(number, Digest(bytes([number]) * 32))


def move_from(state: StageState, number: int) -> Move:
    return Move("r", MODEL, STAGE, state.generation + 1, point(number), state.in_force,
                Digest(bytes(32)))  # fmt: skip


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = EMPTY
        self.seen: dict[Guard, StageState] = {EMPTY.guard: EMPTY}
        self.old_moves: list[Move] = []

    @rule(number=integers(1, 5))
    def move(self, number: int) -> None:
        move = move_from(self.state, number)
        if self.state.in_force == point(number):
            with pytest.raises(Conflict, match="already serves"):
                self.state.after_move(move)
            return
        before = self.state.in_force
        self._become(self.state.after_move(move))
        self.old_moves.append(move)
        assert self.state.in_force == point(number)
        assert self.state.previous == before, "previous is what was in force, not what was newest"

    @rule()
    def choose(self) -> None:
        if self.state.previous is None:
            with pytest.raises(Conflict, match="no previous version"):
                self.state.after_choice("m@production")
            return
        before, other = self.state.in_force, self.state.other
        self._become(self.state.after_choice("m@production"))
        assert (self.state.in_force, self.state.other) == (other, before)

    @precondition(lambda self: self.old_moves)
    @rule(index=integers(0, 100))
    def an_old_move_is_never_accepted_again(self, index: int) -> None:
        with pytest.raises(Stale, match="sign a new move"):
            self.state.after_move(self.old_moves[index % len(self.old_moves)])

    @invariant()
    def only_the_present_guard_is_accepted(self) -> None:
        self.state.require(self.state.guard, "m@production")
        for guard in self.seen.keys() - {self.state.guard}:
            with pytest.raises(Stale) as caught:
                self.state.require(guard, "m@production")
            assert (caught.value.expected, caught.value.actual) == (
                str(guard),
                str(self.state.guard),
            )

    def _become(self, state: StageState) -> None:
        assert state.guard > self.state.guard
        assert state.guard not in self.seen
        self.seen[state.guard] = self.state = state


TestLife = Life.TestCase


def test_rolled_back_and_forward_again_is_another_state() -> None:
    state = EMPTY.after_move(move_from(EMPTY, 1))
    second = state.after_move(move_from(state, 2))
    again = second.after_choice("m").after_choice("m")
    assert again.in_force == second.in_force
    assert (str(second.guard), str(again.guard)) == ("2.0", "2.2")


def test_a_move_after_a_rollback_must_name_what_is_in_force() -> None:
    state = EMPTY.after_move(move_from(EMPTY, 1))
    state = state.after_move(move_from(state, 2))
    drifted = move_from(state, 3)
    rolled_back = state.after_choice("m")
    with pytest.raises(Stale):
        rolled_back.after_move(drifted)
    assert rolled_back.after_move(move_from(rolled_back, 3)).previous == point(1)
