"""Histories that are right by construction, their mutations, and a judge that tries all orders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

from registry_core.domain.identifiers import Guard
from tests.linearizability.log_check import Logged
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
    step,
)

STAGE = "s"


@dataclass(frozen=True)
class Simulated:
    operations: list[Operation]
    logged: list[Logged]


def simulate(rng: random.Random, calls: int, *, span: int = 12) -> Simulated:
    """`calls` upon an atomic stage, each acting at one instant within it. Times are small whole
    numbers, so that many are equal; a fifth of the changes get no answer, and some never act."""
    state, guards = EMPTY, [EMPTY.guard]
    operations: list[Operation] = []
    logged: list[Logged] = []
    instants = sorted(rng.uniform(0, span) for _ in range(calls))
    for number, instant in enumerate(instants):
        asked = _ask(rng, guards[-3:])
        called, returned = int(instant) - rng.randrange(4), int(instant) + 1 + rng.randrange(4)
        lost = not isinstance(asked, Read) and rng.random() < 0.2
        request = "" if isinstance(asked, Read) else f"request-{number}"
        never = lost and rng.random() < 0.5
        after, answer = (state, Unknown()) if never else step(state, asked)
        if after != state:
            logged.append(Logged(request, state, after))
            guards.append(after.guard)
        state = after
        told = Unknown() if lost else answer
        operations.append(Operation(number, STAGE, asked, told, called, returned, request))
    rng.shuffle(operations)
    return Simulated(operations, logged)


def mutate(rng: random.Random, operations: Sequence[Operation]) -> list[Operation]:
    """The same with the answer to one known call replaced, by one of another call or made up."""
    known = [index for index, one in enumerate(operations) if one.known]
    mutated = list(operations)
    if known:
        index = rng.choice(known)
        asked = operations[index].asked
        others: list[Answer] = [one.answer for one in operations] + [_made_up(rng)]
        fitting = [one for one in others if not isinstance(asked, Read) or isinstance(one, Is)]
        mutated[index] = replace(operations[index], answer=rng.choice(fitting))
    return mutated


def explained_by_some_order(operations: Sequence[Operation]) -> bool:
    """The definition, word for word: some subset of the unknown calls and all others, in some
    order that puts no call before one that had returned, give just these answers."""
    known = [one for one in operations if one.known]
    unknown = [one for one in operations if not one.known]
    return any(
        _right(order) and _in_real_time(order)
        for count in range(len(unknown) + 1)
        for taken in combinations(unknown, count)
        for order in permutations([*known, *taken])
    )


def _right(order: Sequence[Operation]) -> bool:
    state = EMPTY
    for operation in order:
        state, answer = step(state, operation.asked)
        if operation.known and operation.answer != answer:
            return False
    return True


def _in_real_time(order: Sequence[Operation]) -> bool:
    return not any(later.ends_ns < earlier.called_ns for earlier, later in combinations(order, 2))


def _ask(rng: random.Random, guards: Sequence[Guard]) -> Asked:
    kind = rng.randrange(3)
    if kind == 0:
        return Read()
    expect = rng.choice(guards) if rng.random() < 0.3 else guards[-1]
    return Promote(expect, rng.randint(1, 3)) if kind == 1 else Rollback(expect)


def _made_up(rng: random.Random) -> Answer:
    guard = Guard(rng.randrange(3), rng.randrange(2))
    state = State(guard.generation, guard.choice, rng.randint(1, 3), rng.choice([None, 1, 2]))
    answers: list[Answer] = [Is(state), Is(EMPTY), Stale(guard), Conflict()]
    return rng.choice(answers)
