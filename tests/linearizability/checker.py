"""Is a history of calls upon stages linearizable? A witness order, or the smallest prefix that is
not, as text.

A history is linearizable if each call can be given one instant between its call and its return at
which it takes effect, so that all answers are those of the sequential object (Herlihy & Wing,
"Linearizability: A Correctness Condition for Concurrent Objects", TOPLAS 12(3), 1990). The same
paper shows that a history is linearizable if its part on each object is: so stages are checked
apart.

The search is that of Wing & Gong ("Testing and Verifying Concurrent Objects", JPDC 17, 1993): take
any call that no other left-over call returned before, let it act on the state, go on, and go back
where the answer does not fit. Lowe's addition ("Testing for Linearizability", Concurrency and
Computation: Practice and Experience 29(4), 2017) keeps it small: a pair of (calls taken, state)
that was tried once is never tried again.

Unknown calls never return: they may be taken at any time after their call, or be left over.
The problem is NP-complete, so the search is bounded; beyond the bound it raises, and never passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.linearizability.stage_register import (
    EMPTY,
    Operation,
    Read,
    State,
    Unknown,
    step,
)

STEPS_MAX = 1_000_000
"""Calls tried in one search: seconds. Recorded histories need a few hundred."""


class SearchTooLarge(Exception):
    """The bound was reached without an answer: record shorter histories, or raise the bound."""


@dataclass(frozen=True)
class Witness:
    """An order in which the calls may have taken effect; unknown ones that need not have are
    missing."""

    order: tuple[Operation, ...]


@dataclass(frozen=True)
class Violation:
    """No order explains the calls upon `stage`. `prefix` is the history up to the first return that
    cannot be explained, `deepest` the longest order that fits a part of it."""

    stage: str
    prefix: tuple[Operation, ...]
    deepest: tuple[Operation, ...]

    def __str__(self) -> str:
        first_ns = min(operation.called_ns for operation in self.prefix)
        culprit = max((one for one in self.prefix if one.known), key=lambda one: one.returned_ns)
        lines = [f"stage {self.stage} is not linearizable; smallest failing prefix (times in ms):"]
        for operation in self.prefix:
            place = self.deepest.index(operation) + 1 if operation in self.deepest else "-"
            mark = "   <- no order explains this answer" if operation is culprit else ""
            lines.append(f"  {_told(operation, first_ns)}  [{place}]{mark}")
        lines.append("  [n]: place in the longest order that fits, which ends with the stage at")
        lines.append(f"  {_replayed(self.deepest)}")
        return "\n".join(lines)


Verdict = Witness | Violation


def check_history(
    history: Sequence[Operation], *, steps_max: int = STEPS_MAX
) -> dict[str, Verdict]:
    """A verdict for each stage of `history`."""
    stages = dict.fromkeys(operation.stage for operation in history)
    return {
        stage: check_stage([one for one in history if one.stage == stage], steps_max=steps_max)
        for stage in stages
    }


def check_stage(operations: Sequence[Operation], *, steps_max: int = STEPS_MAX) -> Verdict:
    """A verdict on calls upon one stage, which began empty."""
    search = _Search(operations, steps_max)
    if search.run():
        return Witness(search.deepest)
    prefix = _smallest_failing_prefix(operations, steps_max)
    search = _Search(prefix, steps_max)
    search.run()
    return Violation(operations[0].stage, tuple(prefix), search.deepest)


class _Search:
    """Depth first over the orders of `operations`. `deepest` is the longest one that fits, and
    the witness if `run` is True."""

    def __init__(self, operations: Sequence[Operation], steps_max: int) -> None:
        tell = [one for one in operations if one.known or not isinstance(one.asked, Read)]
        self._operations = sorted(tell, key=lambda one: one.called_ns)
        self._steps_left = steps_max
        self.deepest: tuple[Operation, ...] = ()

    def run(self) -> bool:
        needed = sum(1 << index for index, one in enumerate(self._operations) if one.known)
        tried = {(0, EMPTY)}
        order: list[Operation] = []
        frames = [(0, self._next(0, EMPTY))]
        while frames:
            taken, choices = frames[-1]
            if taken & needed == needed:
                self.deepest = tuple(order)
                return True
            for index, after in choices:
                reached = (taken | 1 << index, after)
                if reached not in tried:
                    tried.add(reached)
                    order.append(self._operations[index])
                    frames.append((reached[0], self._next(*reached)))
                    break
            else:
                self._remember(order)
                frames.pop()
                del order[len(frames) - 1 :]
        return False

    def _next(self, taken: int, state: State) -> Iterator[tuple[int, State]]:
        """Calls that may take effect next, and the state after each: those that no left-over call
        returned before, and whose answer fits. First those that change nothing: if any order is
        right, one is that begins with them."""
        still: list[tuple[int, State]] = []
        changes: list[tuple[int, State]] = []
        first_end = float("inf")
        for index, operation in enumerate(self._operations):
            if taken >> index & 1:
                continue
            if operation.called_ns > first_end:
                break
            first_end = min(first_end, operation.ends_ns)
            self._spend()
            after, right_answer = step(state, operation.asked)
            if after != state and operation.answer in (right_answer, Unknown()):
                changes.append((index, after))
            elif operation.answer == right_answer:
                still.append((index, state))
        return iter(still + changes)

    def _spend(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise SearchTooLarge(f"no verdict on {len(self._operations)} calls within the bound")

    def _remember(self, order: Sequence[Operation]) -> None:
        if _depth(order) > _depth(self.deepest):
            self.deepest = tuple(order)


def _smallest_failing_prefix(operations: Sequence[Operation], steps_max: int) -> list[Operation]:
    """Cut at the first return with which the history fails. Each prefix of a linearizable history
    is linearizable, so that halving finds it."""
    returns = sorted({one.returned_ns for one in operations if one.known})
    low, high = 0, len(returns) - 1
    while low < high:
        middle = (low + high) // 2
        if _Search(_cut(operations, returns[middle]), steps_max).run():
            low = middle + 1
        else:
            high = middle
    return _cut(operations, returns[low])


def _cut(operations: Sequence[Operation], at_ns: int) -> list[Operation]:
    """The history as it was at `at_ns`: what had not returned is unknown, what was not called is
    not there."""
    called = sorted((one for one in operations if one.called_ns <= at_ns), key=_when_called)
    return [one if one.ends_ns <= at_ns else replace(one, answer=Unknown()) for one in called]


def _depth(order: Sequence[Operation]) -> tuple[int, int]:
    """Answers explained; among as many, unknown calls that need not have been made."""
    return sum(operation.known for operation in order), -len(order)


def _when_called(operation: Operation) -> int:
    return operation.called_ns


def _told(operation: Operation, first_ns: int) -> str:
    called_ms = (operation.called_ns - first_ns) / 1e6
    returned = f"{(operation.returned_ns - first_ns) / 1e6:9.3f}" if operation.known else " " * 9
    what = f"{operation.asked!s:<24} {operation.answer}"
    return f"{called_ms:9.3f} {returned}  client {operation.client}: {what}"


def _replayed(order: Sequence[Operation]) -> State:
    state = EMPTY
    for operation in order:
        state, _ = step(state, operation.asked)
    return state
