"""Holds a history against the registry's own log: stronger than the search, and linear in time.

The log claims an order of all changes. So it is the witness, and need not be searched for:
each acknowledged change is there once, with the very outcome that it was answered; an unknown one
at most once; no other change at all; and every call, reads and refusals among them, can be put at
the place in the log that its answer speaks of without being put before one that had returned
before it was called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from registry_core.domain.identifiers import Guard
from tests.linearizability.stage_register import EMPTY, Is, Operation, Read, Stale, State, step


@dataclass(frozen=True, slots=True)
class Logged:
    """A change of a stage as the log tells it, in the order of the log."""

    request: str
    before: State
    after: State


@dataclass(frozen=True, slots=True)
class _Placed:
    """`place` is the number of changes of the stage that came before, this one included."""

    place: int
    changes: bool
    operation: Operation


def check_against_log(operations: Sequence[Operation], logged: Sequence[Logged]) -> list[str]:
    """What is wrong with calls upon one stage that began empty, given all changes of it that the
    log has. Nothing: they are linearizable, in the order of the log."""
    changes = {one.request: one for one in operations if not isinstance(one.asked, Read)}
    problems = _broken_links(logged)
    problems += [text for one in logged for text in _false_entry(one, changes.get(one.request))]
    problems += _lost_or_doubled(changes.values(), logged)
    return problems or _out_of_order(operations, logged)


def _broken_links(logged: Sequence[Logged]) -> list[str]:
    return [
        f"the log's change to {change.after} begins at {change.before}, not at {state}"
        for state, change in zip(_states(logged), logged, strict=False)
        if change.before != state
    ]


def _false_entry(change: Logged, operation: Operation | None) -> list[str]:
    """What is wrong with one change in the log, given who asked for it."""
    if operation is None:
        return [f"nobody asked for the log's change to {change.after}"]
    if step(change.before, operation.asked) != (change.after, Is(change.after)):
        return [f"the log made {change.after} of {change.before}: {_told(operation)}"]
    if operation.known and operation.answer != Is(change.after):
        return [f"the log has {change.after}, and the answer was another: {_told(operation)}"]
    return []


def _lost_or_doubled(changes: Iterable[Operation], logged: Sequence[Logged]) -> list[str]:
    times = Counter(change.request for change in logged)
    return [
        f"{times[one.request]} times in the log: {_told(one)}"
        for one in changes
        if times[one.request] > 1 or (isinstance(one.answer, Is) and not times[one.request])
    ]


def _out_of_order(operations: Sequence[Operation], logged: Sequence[Logged]) -> list[str]:
    """Calls whose answer speaks of no state that there was, or of one that was past or to come."""
    problems: list[str] = []
    placed = _place(operations, logged, problems)
    placed.sort(key=lambda one: (one.place, not one.changes))
    called_latest_ns = 0
    for _, together in groupby(placed, key=lambda one: (one.place, one.changes)):
        group = [one.operation for one in together]
        problems += [
            f"before a call that came after its return: {_told(one)}"
            for one in group
            if one.ends_ns < called_latest_ns
        ]
        called_latest_ns = max(called_latest_ns, *(one.called_ns for one in group))
    return problems


def _place(
    operations: Sequence[Operation], logged: Sequence[Logged], problems: list[str]
) -> list[_Placed]:
    states = _states(logged)
    by_guard = {state.guard: place for place, state in enumerate(states)}
    by_request = {change.request: place for place, change in enumerate(logged, 1)}
    placed = []
    for one in operations:
        if one.request in by_request:
            placed.append(_Placed(by_request[one.request], True, one))
        elif one.known:
            place = by_guard.get(_guard_seen(one))
            if place is None or step(states[place], one.asked) != (states[place], one.answer):
                problems.append(f"the stage never was so: {_told(one)}")
            else:
                placed.append(_Placed(place, False, one))
    return placed


def _guard_seen(operation: Operation) -> Guard:
    """What the stage was at, by the answer to a call that changed nothing."""
    if isinstance(operation.answer, Is):
        return operation.answer.state.guard
    if isinstance(operation.answer, Stale):
        return operation.answer.actual
    assert not isinstance(operation.asked, Read)  # a read has no conflicts
    return operation.asked.expect


def _states(logged: Sequence[Logged]) -> list[State]:
    return [EMPTY, *(change.after for change in logged)]


def _told(operation: Operation) -> str:
    return f"client {operation.client}, {operation.asked}: {operation.answer}"
