"""Records calls upon stages while they happen: who asked what, when, and what the answer was.

Threads: `call` from any. An answer that never came is recorded as unknown; an error that no caller
of a stage should see is raised, and ends the history.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cachd.control.problems import AuthorityUnavailable
from registry_core import errors
from registry_core.domain.identifiers import Guard
from registry_core.ledger.records import StageRecord
from tests.linearizability.stage_register import (
    EMPTY,
    Answer,
    Asked,
    Conflict,
    Is,
    Operation,
    Stale,
    State,
    Unknown,
)


@dataclass
class Recorder:
    """`operations` is complete once all callers have come back."""

    operations: list[Operation] = field(default_factory=list)
    _calls: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def call(
        self, client: int, stage: str, asked: Asked, make: Callable[[], StageRecord | None],
        request: str = "",
    ) -> Answer:  # fmt: skip
        """Make the call; its answer, recorded."""
        with self._changed:
            self._calls += 1
            self._changed.notify_all()
        called_ns = time.monotonic_ns()
        answer = _answer_of(make)
        returned_ns = time.monotonic_ns()
        done = Operation(client, stage, asked, answer, called_ns, returned_ns, request)
        with self._changed:
            self.operations.append(done)
        return answer

    def wait_calls(self, count: int, within_s: float = 30.0) -> None:
        """Until so many calls were made, answered or not."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._calls >= count, within_s), "too few calls"


def state_of(record: StageRecord | None) -> State:
    if record is None:
        return EMPTY
    previous = record.previous.number if record.previous else None
    return State(record.generation, record.choice, record.version.number, previous)


def _answer_of(make: Callable[[], StageRecord | None]) -> Answer:
    try:
        return Is(state_of(make()))
    except errors.Stale as stale:
        return Stale(Guard.parse(stale.actual))
    except errors.EvidenceMissing:  # a Conflict, but none that a stage's state explains
        raise
    except errors.Conflict:
        return Conflict()
    except (AuthorityUnavailable, errors.LedgerUnavailable):
        return Unknown()
