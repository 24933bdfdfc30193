"""Promoters that race for stages: each decides on what it saw last, which is often past."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from registry_core.domain.identifiers import Digest, Guard, ModelName, StageName
from registry_core.domain.move import Move, VersionPoint
from registry_core.ledger.change import Change
from registry_core.ledger.records import StageRecord
from registry_core.registry import Registry
from registry_core.trust.dsse import Envelope
from registry_core.trust.keys import Keyring, SigningKey
from registry_core.trust.move import sign_move
from tests.linearizability.recorder import Recorder
from tests.linearizability.stage_register import (
    EMPTY,
    Answer,
    Is,
    Promote,
    Read,
    Rollback,
    State,
)

LOOKS_FIRST = 0.5
"""Share of the changes before which a promoter reads; the others it decides on what it knows."""
HASTY = 0.05
"""Share of the changes whose answer it hardly waits for."""


class StageControl(Protocol):
    """As much of a registry's Control as a promoter needs."""

    def find_stage(self, model: ModelName, stage: StageName) -> StageRecord | None: ...

    def move(
        self, move: Move, envelope: Envelope | None, guard: Guard | None, change: Change
    ) -> StageRecord: ...

    def choose(
        self, model: ModelName, stage: StageName, guard: Guard | None, change: Change
    ) -> StageRecord: ...


@dataclass(frozen=True)
class Material:
    """What moves are made of: the versions of one model, the policy, a promoter's key."""

    registry: str
    policy: Digest
    model: ModelName
    versions: Mapping[int, VersionPoint]
    key: SigningKey

    @classmethod
    def of(cls, registry: Registry, model: str, keys: Keyring) -> Material:
        policy = registry.control.policy()
        versions = {one.number: one.point for one in registry.versions(model)}
        key = keys.get("promoter")
        return cls(policy.registry, policy.digest, ModelName(model), versions, key)

    def move(self, stage: StageName, seen: State, version: int) -> Move:
        """The move to `version` of whoever saw the stage as `seen`."""
        return Move(
            registry=self.registry,
            model=self.model,
            stage=stage,
            generation=seen.generation + 1,
            version=self.versions[version],
            previous=self.versions[seen.in_force] if seen.in_force else None,
            policy=self.policy,
        )


@dataclass
class Promoter:
    """One client. `hasty` is a way to the same registry on which it does not wait for long, so that
    it often does not know what became of a change; `after` is told each answer, and may wait."""

    number: int
    control: StageControl
    hasty: StageControl
    material: Material
    recorder: Recorder
    rng: random.Random
    after: Callable[[Answer], None] = lambda answer: None
    _seen: dict[StageName, State] = field(default_factory=dict)

    def race(self, stages: Sequence[StageName], calls: int) -> None:
        """`calls` upon any of `stages`, and the looks before them."""
        acts = (self._read, self._promote, self._roll_back)
        for _ in range(calls):
            act, stage = self.rng.choices(acts, (3, 5, 2))[0], self.rng.choice(stages)
            if act is not self._read and self.rng.random() < LOOKS_FIRST:
                self.after(self._read(stage))
            self.after(act(stage))

    def _read(self, stage: StageName) -> Answer:
        model = self.material.model
        return self._call(stage, Read(), lambda: self.control.find_stage(model, stage))

    def _promote(self, stage: StageName) -> Answer:
        seen = self._seen.get(stage, EMPTY)
        version = self.rng.choice(list(self.material.versions))
        move = self.material.move(stage, seen, version)
        envelope = sign_move(move, self.material.key)
        control, change = self._control(), self._change()
        return self._call(
            stage, Promote(seen.guard, version),
            lambda: control.move(move, envelope, seen.guard, change), change.request_id,
        )  # fmt: skip

    def _roll_back(self, stage: StageName) -> Answer:
        guard = self._seen.get(stage, EMPTY).guard
        control, change, model = self._control(), self._change(), self.material.model
        return self._call(
            stage, Rollback(guard),
            lambda: control.choose(model, stage, guard, change), change.request_id,
        )  # fmt: skip

    def _call(
        self, stage: StageName, asked: Read | Promote | Rollback,
        make: Callable[[], StageRecord | None], request: str = "",
    ) -> Answer:  # fmt: skip
        answer = self.recorder.call(self.number, stage.text, asked, make, request)
        if isinstance(answer, Is):
            self._seen[stage] = answer.state
        return answer

    def _control(self) -> StageControl:
        return self.hasty if self.rng.random() < HASTY else self.control

    def _change(self) -> Change:
        return Change(f"promoter-{self.number}", "", uuid.UUID(int=self.rng.getrandbits(128)).hex)
