"""Histories of promoters that race for the stages of a real authority, which is killed meanwhile.

Each history has stages of its own, so that it begins with empty ones however many were recorded on
the same registry before. Half of the promoters ask again, under the same Idempotency-Key, until the
authority is back; the others do not know what became of what they asked, and go on.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cachd.control.http import HttpClient
from cachd.control.remote import RemoteControl
from registry_core.domain.entry import Entry
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.ledger import subjects
from tests.linearizability.killed_authority import KilledAuthority
from tests.linearizability.log_check import Logged
from tests.linearizability.promoters import Material, Promoter, StageControl
from tests.linearizability.recorder import Recorder
from tests.linearizability.stage_register import EMPTY, Answer, Operation, Read, State, Unknown

PROMOTERS = 8
CALLS_MIN, CALLS_MAX = 6, 12
"""Of each promoter, not counting that it looks before half of its changes."""
HASTY_S = 0.003
"""How long a promoter in haste waits for an answer: about as long as a change takes."""


@dataclass
class History:
    """`operations` on `stages`; `logged` is what the log has of each stage, once all came back."""

    stages: Sequence[StageName]
    operations: list[Operation]
    logged: dict[str, list[Logged]] = field(default_factory=dict)


def race(
    ways: Sequence[tuple[StageControl, StageControl]], material: Material,
    stages: Sequence[StageName], rng: random.Random, *,
    meanwhile: Callable[[Recorder], None] = lambda recorder: None,
    after: Callable[[Answer], None] = lambda answer: None,
) -> History:  # fmt: skip
    """Let a promoter for each of `ways` (one with patience, one in haste) race for `stages`, and
    `meanwhile` run beside."""
    recorder = Recorder()
    promoters = [
        Promoter(number, *way, material, recorder, random.Random(rng.getrandbits(64)), after)
        for number, way in enumerate(ways)
    ]
    with ThreadPoolExecutor(len(promoters)) as pool:
        racing = [
            pool.submit(promoter.race, stages, rng.randint(CALLS_MIN, CALLS_MAX))
            for promoter in promoters
        ]
        meanwhile(recorder)
    for one in racing:
        one.result()
    for stage in stages:  # nothing may be lost after the last of their calls
        look = partial(ways[0][0].find_stage, material.model, stage)
        recorder.call(len(promoters), stage.text, Read(), look)
    return History(stages, recorder.operations)


@dataclass
class Recording:
    """Records histories on one authority, which is killed in the midst of each."""

    authority: KilledAuthority
    material: Material
    _serving: threading.Event = field(default_factory=threading.Event)

    def record(self, name: str, rng: random.Random) -> History:
        """`name` is one that no history on this registry had before."""
        stages = [StageName(f"{name}-{letter}") for letter in "abc"[: rng.choice((2, 3))]]
        kill_at = rng.randint(PROMOTERS, PROMOTERS * CALLS_MIN)
        ways = [self._ways(asks_again=number % 2 == 0) for number in range(PROMOTERS)]

        def kill(recorder: Recorder) -> None:
            recorder.wait_calls(kill_at)
            self._kill_and_start()

        self._serving.set()
        history = race(ways, self.material, stages, rng, meanwhile=kill, after=self._wait_if_lost)
        entries = ways[0][0].history(self.material.model, newest=len(history.operations))
        history.logged = logged_changes(self.material.model, stages, entries)
        return history

    def _ways(self, *, asks_again: bool) -> tuple[RemoteControl, RemoteControl]:
        url = self.authority.url
        patient = HttpClient(url) if asks_again else HttpClient(url, retry_s=0)
        return RemoteControl(patient), RemoteControl(HttpClient(url, timeout_s=HASTY_S, retry_s=0))

    def _kill_and_start(self) -> None:
        self._serving.clear()
        self.authority.kill()
        self.authority.start()
        self._serving.set()

    def _wait_if_lost(self, answer: Answer) -> None:
        if isinstance(answer, Unknown):
            assert self._serving.wait(30), "the authority did not come back"


def logged_changes(
    model: ModelName, stages: Sequence[StageName], newest_first: Sequence[Entry]
) -> dict[str, list[Logged]]:
    """What the log has of each stage, oldest first."""
    by_subject = {subjects.of_stage(model, stage): stage.text for stage in stages}
    found: dict[str, list[Logged]] = {stage.text: [] for stage in stages}
    for entry in reversed(newest_first):
        if entry.subject in by_subject:
            request = entry.request_id.partition("#")[0]  # an Idempotency-Key has a hash behind it
            change = Logged(request, _state(entry.before), _state(entry.after))
            found[by_subject[entry.subject]].append(change)
    return found


def _state(document: Any) -> State:
    if document is None:
        return EMPTY
    previous = document["previous"]["number"] if document["previous"] else None
    return State(
        document["generation"], document["choice"], document["version"]["number"], previous
    )
