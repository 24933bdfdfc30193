"""What one stage is as a sequential object: a register with compare-and-swap, and calls upon it.

Written apart from `registry_core.domain.stage` on purpose: it is what the product is held against.
Pure; versions are their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry_core.domain.identifiers import Guard


@dataclass(frozen=True, slots=True)
class State:
    """A stage between two changes. `version` and `previous` are those of its last move."""

    generation: int
    choice: int
    version: int | None
    previous: int | None

    @property
    def guard(self) -> Guard:
        return Guard(self.generation, self.choice)

    @property
    def in_force(self) -> int | None:
        return self.previous if self.choice % 2 else self.version

    def __str__(self) -> str:
        return f"{self.guard} serving {self.in_force} (move {self.previous} -> {self.version})"


EMPTY = State(0, 0, None, None)


@dataclass(frozen=True, slots=True)
class Read:
    """What is the stage?"""

    def __str__(self) -> str:
        return "read"


@dataclass(frozen=True, slots=True)
class Promote:
    """Move to `version`, if the stage is at `expect`."""

    expect: Guard
    version: int

    def __str__(self) -> str:
        return f"promote {self.version} if at {self.expect}"


@dataclass(frozen=True, slots=True)
class Rollback:
    """Toggle the version in force, if the stage is at `expect`."""

    expect: Guard

    def __str__(self) -> str:
        return f"rollback if at {self.expect}"


Asked = Read | Promote | Rollback


@dataclass(frozen=True, slots=True)
class Is:
    """A read's answer: the stage was so. A change's answer: it made the stage so."""

    state: State

    def __str__(self) -> str:
        return f"is {self.state}"


@dataclass(frozen=True, slots=True)
class Stale:
    """Refused: the stage was at another guard."""

    actual: Guard

    def __str__(self) -> str:
        return f"stale, at {self.actual}"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Refused, though the guard held: nothing to move, or nothing to roll back to."""

    def __str__(self) -> str:
        return "conflict"


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer came: it took effect once at some time after the call, or never."""

    def __str__(self) -> str:
        return "unknown"


Answer = Is | Stale | Conflict | Unknown


def step(state: State, asked: Asked) -> tuple[State, Answer]:
    """The state after `asked`, and the one right answer to it."""
    if isinstance(asked, Read):
        return state, Is(state)
    if asked.expect != state.guard:
        return state, Stale(state.guard)
    if isinstance(asked, Promote):
        if asked.version == state.in_force:
            return state, Conflict()
        after = State(state.generation + 1, 0, asked.version, state.in_force)
    else:
        if state.previous is None:
            return state, Conflict()
        after = State(state.generation, state.choice + 1, state.version, state.previous)
    return after, Is(after)


@dataclass(frozen=True, slots=True)
class Operation:
    """A call upon `stage` and its answer, on one monotonic clock. `request` names a change in the
    log; it is empty for reads."""

    client: int
    stage: str
    asked: Asked
    answer: Answer
    called_ns: int
    returned_ns: int
    request: str = ""

    @property
    def known(self) -> bool:
        return not isinstance(self.answer, Unknown)

    @property
    def ends_ns(self) -> float:
        """Until when it can have taken effect."""
        return self.returned_ns if self.known else float("inf")
