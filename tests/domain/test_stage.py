"""A stage through its life: the guard only grows, and no two states ever show the same one."""

from __future__ import annotations

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import integers, sampled_from

from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.domain.split import WHOLE, parse_percent, percent_text
from registry_core.domain.stage import EMPTY, StageState
from registry_core.errors import Conflict, InvalidInput, Stale

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

    @rule(number=integers(1, 5), split=sampled_from([0, 0, 1, 500, 999]))
    def move(self, number: int, split: int) -> None:
        move = move_from(self.state, number)
        if split and self.state.in_force is None:
            with pytest.raises(Conflict, match="no previous version"):
                self.state.after_move(move, split)
            return
        if self.state.in_force == point(number):
            with pytest.raises(Conflict, match="already serves"):
                self.state.after_move(move)
            return
        before = self.state.in_force
        self._become(self.state.after_move(move, split))
        self.old_moves.append(move)
        assert self.state.version == point(number)
        assert self.state.split == split
        assert self.state.in_force == (before if split else point(number)), "never at once for all"
        assert self.state.previous == before, "previous is what was in force, not what was newest"

    @rule()
    def choose(self) -> None:
        if self.state.previous is None:
            with pytest.raises(Conflict, match="no previous version"):
                self.state.after_choice("m@production")
            return
        before, other, split = self.state.in_force, self.state.other, self.state.split
        self._become(self.state.after_choice("m@production"))
        assert self.state.split == 0
        expected = (before, other) if split else (other, before)
        assert (self.state.in_force, self.state.other) == expected, "a split ends with previous"

    @rule(split=integers(0, WHOLE) | sampled_from([0, WHOLE]))
    def split(self, split: int) -> None:
        if self.state.previous is None:
            with pytest.raises(Conflict, match="no previous version"):
                self.state.after_split("m@production", split)
            return
        shares = {self.state.in_force: WHOLE - self.state.split, self.state.other: self.state.split}
        if shares[self.state.version] == split:
            with pytest.raises(Conflict, match="nothing to do"):
                self.state.after_split("m@production", split)
            return
        version, previous = self.state.version, self.state.previous
        self._become(self.state.after_split("m@production", split))
        assert (self.state.version, self.state.previous) == (version, previous), "and no third"
        assert self.state.in_force == (version if split == WHOLE else previous)
        assert self.state.split == split % WHOLE

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


def test_a_move_with_a_split_leaves_requests_to_both() -> None:
    state = EMPTY.after_move(move_from(EMPTY, 1))
    for split in (WHOLE, -1, 1001):
        with pytest.raises(InvalidInput, match="move all requests"):
            state.after_move(move_from(state, 2), split)
    again = state.after_move(move_from(state, 2), 50)
    assert (str(again.guard), again.in_force, again.other) == ("2.1", point(1), point(2))
    assert again.after_move(move_from(again, 3)).previous == point(1), "what was in force"
    for split in (-1, 1001):
        with pytest.raises(InvalidInput, match="between 0 and 1000"):
            again.after_split("m", split)


def test_percentages() -> None:
    for text, per_mille in {"5": 50, "0.5": 5, "12.5%": 125, "100": 1000, "0": 0, "0.0": 0}.items():
        assert parse_percent(text) == per_mille
    assert (parse_percent(5), parse_percent(0.1)) == (50, 1)
    assert [percent_text(one) for one in (50, 5, 125)] == ["5%", "0.5%", "12.5%"]
    for wrong in (
        "",
        "-1",
        "100.1",
        "1e2",
        "0.05",
        "5 %",
        "five",
        "1000",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        None,
        [5],
        True,
    ):
        with pytest.raises(InvalidInput, match=r"steps of 0\.1"):
            parse_percent(wrong)
