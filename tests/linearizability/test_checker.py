"""The checker on histories whose verdict is known: by hand, and by trying every order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from registry_core.domain.identifiers import Guard
from tests.linearizability.checker import (
    SearchTooLarge,
    Violation,
    Witness,
    check_history,
    check_stage,
)
from tests.linearizability.log_check import Logged, check_against_log
from tests.linearizability.simulated_stage import (
    STAGE,
    explained_by_some_order,
    mutate,
    simulate,
)
from tests.linearizability.stage_register import (
    EMPTY,
    Answer,
    Asked,
    Conflict,
    Is,
    Operation,
    Promote,
    Read,
    Rollback,
    Stale,
    State,
    Unknown,
)

READ = Read()
TO_1, TO_2 = Promote(Guard(0, 0), 1), Promote(Guard(1, 0), 2)
BACK = Rollback(Guard(2, 0))
AT_1, AT_2, AT_2_BACK = State(1, 0, 1, None), State(2, 0, 2, 1), State(2, 1, 2, 1)
LOST = Unknown()


def call(called: int, returned: int, asked: Asked, answer: Answer | State) -> Operation:
    told = Is(answer) if isinstance(answer, State) else answer
    request = "" if isinstance(asked, Read) else f"{asked}, called at {called}"
    return Operation(0, STAGE, asked, told, called, returned, request)


MADE = [call(0, 1, TO_1, AT_1), call(2, 3, TO_2, AT_2)]

GOOD = {
    "nothing": [],
    "one after another": [*MADE, call(4, 5, BACK, AT_2_BACK), call(6, 7, READ, AT_2_BACK)],
    "a rollback undone": [
        *MADE,
        call(4, 5, BACK, AT_2_BACK),
        call(6, 7, Rollback(Guard(2, 1)), State(2, 2, 2, 1)),
    ],
    "a move after a rollback": [
        *MADE,
        call(4, 5, BACK, AT_2_BACK),
        call(6, 7, Promote(Guard(2, 1), 3), State(3, 0, 3, 1)),
    ],
    "a race": [call(0, 5, TO_1, AT_1), call(1, 4, Promote(Guard(0, 0), 2), Stale(Guard(1, 0)))],
    "a race whose loser returns first": [
        call(0, 9, TO_1, AT_1),
        call(1, 2, Promote(Guard(0, 0), 2), Stale(Guard(1, 0))),
    ],
    "stale by two": [*MADE, call(4, 5, TO_1, Stale(Guard(2, 0)))],
    "reads beside a change see it or not": [
        call(0, 9, TO_1, AT_1),
        call(1, 3, READ, EMPTY),
        call(2, 4, READ, AT_1),
    ],
    "a read that began before and ends after": [*MADE, call(1, 9, READ, AT_1)],
    "at the same instant": [call(0, 1, TO_1, AT_1), call(1, 2, READ, EMPTY)],
    "nothing to move": [MADE[0], call(2, 3, Promote(Guard(1, 0), 1), Conflict())],
    "nothing to go back to": [MADE[0], call(2, 3, Rollback(Guard(1, 0)), Conflict())],
    "an unknown change that was made": [call(0, 1, TO_1, LOST), call(2, 3, READ, AT_1)],
    "an unknown change that was never made": [call(0, 1, TO_1, LOST), call(2, 3, READ, EMPTY)],
    "an unknown change that was made late": [
        call(0, 1, TO_1, LOST),
        call(2, 3, READ, EMPTY),
        call(4, 5, READ, AT_1),
    ],
    "an unknown change that came too late": [
        call(0, 1, Promote(Guard(0, 0), 3), LOST),
        *[
            replace(one, called_ns=one.called_ns + 5, returned_ns=one.returned_ns + 5)
            for one in MADE
        ],
    ],
    "unknown changes, one upon the other": [
        call(0, 1, TO_1, LOST),
        call(0, 1, TO_2, LOST),
        call(0, 1, BACK, LOST),
        call(2, 3, READ, AT_2_BACK),
    ],
    "an unknown read": [*MADE, call(4, 5, READ, LOST)],
}

BAD = {
    "a lost update": [MADE[0], call(2, 3, READ, EMPTY)],
    "a lost update that another made good": [
        MADE[0],
        call(2, 3, Promote(Guard(0, 0), 2), State(1, 0, 2, None)),
    ],
    "a stale read": [*MADE, call(4, 5, READ, AT_1)],
    "two winners": [
        call(0, 5, TO_1, AT_1),
        call(1, 4, Promote(Guard(0, 0), 2), State(1, 0, 2, None)),
    ],
    "two winners with one version": [call(0, 5, TO_1, AT_1), call(1, 4, TO_1, AT_1)],
    "two rollbacks from one guard": [
        *MADE,
        call(4, 6, BACK, AT_2_BACK),
        call(5, 7, BACK, State(2, 2, 2, 1)),
    ],
    "in effect before its call": [call(0, 1, READ, AT_1), call(2, 3, TO_1, AT_1)],
    "in effect after its return": [
        call(0, 1, TO_1, AT_1),
        call(2, 3, READ, EMPTY),
        call(4, 5, READ, AT_1),
    ],
    "reads that go back": [
        call(0, 9, TO_1, AT_1),
        call(1, 2, READ, AT_1),
        call(3, 4, READ, EMPTY),
    ],
    "a stale answer from the future": [
        call(0, 1, Promote(Guard(0, 0), 3), Stale(Guard(1, 0))),
        call(2, 3, TO_1, AT_1),
    ],
    "a stale answer about the past": [*MADE, call(4, 5, TO_1, Stale(Guard(1, 0)))],
    "stale and yet at the guard": [call(0, 1, TO_1, Stale(Guard(0, 0)))],
    "stale without anybody faster": [call(0, 1, TO_1, Stale(Guard(1, 0)))],
    "a conflict that is none": [call(0, 1, TO_1, Conflict())],
    "another version than was asked for": [call(0, 1, TO_1, State(1, 0, 2, None))],
    "another previous version": [MADE[0], call(2, 3, TO_2, State(2, 0, 2, 3))],
    "a generation that was left out": [MADE[0], call(2, 3, TO_2, State(3, 0, 2, 1))],
    "a choice that was left out": [*MADE, call(4, 5, BACK, State(2, 2, 2, 1))],
    "a move that forgets the rollback": [
        *MADE,
        call(4, 5, BACK, AT_2_BACK),
        call(6, 7, Promote(Guard(2, 1), 3), State(3, 0, 3, 2)),
    ],
    "an unknown change made before its call": [call(0, 1, READ, AT_1), call(2, 3, TO_1, LOST)],
    "an unknown change made twice": [
        *MADE,
        call(4, 5, BACK, LOST),
        call(6, 7, READ, AT_2_BACK),
        call(8, 9, READ, State(2, 2, 2, 1)),
    ],
    "an unknown change that was undone": [
        call(0, 1, TO_1, LOST),
        call(2, 3, READ, AT_1),
        call(4, 5, READ, EMPTY),
    ],
    "an unknown change made though its guard was past": [
        call(0, 1, Promote(Guard(0, 0), 3), LOST),
        *MADE,
        call(4, 5, READ, State(3, 0, 3, 2)),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_good_histories(name: str) -> None:
    verdict = check_stage(GOOD[name])
    assert isinstance(verdict, Witness), str(verdict)
    assert explained_by_some_order(verdict.order)
    assert {one for one in GOOD[name] if one.known} <= set(verdict.order)
    assert explained_by_some_order(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_bad_histories(name: str) -> None:
    verdict = check_stage(BAD[name])
    assert isinstance(verdict, Violation)
    assert not explained_by_some_order(verdict.prefix)
    assert not explained_by_some_order(BAD[name])


def test_the_smallest_failing_prefix() -> None:
    """What came after the answer that cannot be explained is not shown."""
    history = [
        *MADE,
        call(4, 50, BACK, AT_2_BACK),
        call(5, 6, READ, AT_1),
        call(7, 8, READ, AT_2_BACK),
    ]
    verdict = check_stage(history)
    assert isinstance(verdict, Violation)
    assert [one.asked for one in verdict.prefix] == [TO_1, TO_2, BACK, READ]
    assert verdict.prefix[2].answer == LOST, "it had not returned yet"
    lines = str(verdict).splitlines()
    assert [line for line in lines if "no order explains" in line] == [lines[4]]
    assert "read" in lines[4]
    assert "is 1.0 serving 1 (move None -> 1)" in lines[4]
    assert "2.0 serving 2" in lines[-1]


def test_stages_are_judged_apart() -> None:
    other = [replace(one, stage="other") for one in BAD["a stale read"]]
    verdicts = check_history([*MADE, *other])
    assert isinstance(verdicts[STAGE], Witness)
    assert isinstance(verdicts["other"], Violation)
    assert verdicts["other"].stage == "other"


def test_beyond_the_bound_nothing_passes() -> None:
    history = simulate(random.Random(1), 40, span=40).operations
    assert isinstance(check_stage(history), Witness)
    with pytest.raises(SearchTooLarge):
        check_stage(history, steps_max=30)


def test_what_was_tried_is_not_tried_again() -> None:
    """12 reads at once have 12! orders and 2^12 sets."""
    history = [call(0, 9, READ, EMPTY) for _ in range(12)] + [call(1, 8, READ, AT_1)]
    assert isinstance(check_stage(history, steps_max=2**12 * 16 * 3), Violation)


def test_agrees_with_trying_every_order(seed: int) -> None:
    rng = random.Random(seed)
    rejected = accepted = 0
    for _ in range(500):
        made = simulate(rng, rng.choice([1, 2, 3, 4, 4, 5, 5, 6, 6, 7]))
        assert isinstance(check_stage(made.operations), Witness)
        assert check_against_log(made.operations, made.logged) == []
        mutated = mutate(rng, made.operations)
        possible = explained_by_some_order(mutated)
        assert isinstance(check_stage(mutated), Witness) == possible, str(check_stage(mutated))
        if check_against_log(mutated, made.logged) == []:
            assert possible, "the log is a witness"
        accepted += possible
        rejected += not possible
    assert rejected > 100
    assert accepted > 20


def test_long_histories_of_an_atomic_stage_pass(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        made = simulate(rng, 150, span=rng.choice([150, 600]))
        assert isinstance(check_stage(made.operations), Witness)
        assert check_against_log(made.operations, made.logged) == []


def logged(operation: Operation, before: State, after: State) -> Logged:
    return Logged(operation.request, before, after)


FIRST, SECOND = logged(MADE[0], EMPTY, AT_1), logged(MADE[1], AT_1, AT_2)
REFUSED = call(4, 5, TO_1, Stale(Guard(2, 0)))
UNKNOWN = call(4, 5, BACK, LOST)

AGAINST_LOG = {
    "as it was": ([*MADE, REFUSED, call(6, 7, READ, AT_2)], [FIRST, SECOND], ""),
    "unknown, and not there": ([*MADE, UNKNOWN], [FIRST, SECOND], ""),
    "unknown, and there": (
        [*MADE, UNKNOWN],
        [FIRST, SECOND, logged(UNKNOWN, AT_2, AT_2_BACK)],
        "",
    ),
    "unknown, and there twice": (
        [*MADE, UNKNOWN],
        [
            FIRST,
            SECOND,
            logged(UNKNOWN, AT_2, AT_2_BACK),
            logged(UNKNOWN, AT_2_BACK, State(2, 2, 2, 1)),
        ],
        "2 times",
    ),
    "acknowledged, and lost": (MADE, [FIRST], "0 times"),
    "refused, and there": (
        [*MADE, call(4, 5, BACK, Stale(Guard(2, 1)))],
        [FIRST, SECOND, Logged(call(4, 5, BACK, LOST).request, AT_2, AT_2_BACK)],
        "the answer was another",
    ),
    "answered otherwise": (
        [MADE[0], replace(MADE[1], answer=Is(State(2, 0, 3, 1)))],
        [FIRST, SECOND],
        "the answer was another",
    ),
    "not as it was asked": (
        [MADE[0], replace(MADE[1], asked=Promote(Guard(1, 0), 3))],
        [FIRST, SECOND],
        "made",
    ),
    "nobody's": (MADE[:1], [FIRST, SECOND], "nobody asked"),
    "a broken chain": (MADE[1:], [SECOND], "begins at"),
    "acknowledged before it was asked for": (
        [replace(MADE[0], called_ns=8, returned_ns=9), MADE[1]],
        [FIRST, SECOND],
        "came after its return",
    ),
    "a read of the past": ([*MADE, call(4, 5, READ, AT_1)], [FIRST, SECOND], "after its return"),
    "a read of the future": (
        [call(-2, -1, READ, AT_1), *MADE],
        [FIRST, SECOND],
        "after its return",
    ),
    "a read of what never was": (
        [*MADE, call(0, 9, READ, AT_2_BACK)],
        [FIRST, SECOND],
        "never was",
    ),
    "a conflict that was none": (
        [*MADE, call(0, 9, Promote(Guard(1, 0), 3), Conflict())],
        [FIRST, SECOND],
        "never was",
    ),
}


@pytest.mark.parametrize("name", AGAINST_LOG)
def test_against_the_log(name: str) -> None:
    history, log, problem = AGAINST_LOG[name]
    found = check_against_log(history, log)
    assert bool(found) == bool(problem)
    assert any(problem in text for text in found) or not problem
