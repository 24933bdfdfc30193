"""What a host tells of its flips as they happen: the node counts and logs it."""

from __future__ import annotations

from dataclasses import dataclass

from cachd.serve.flip_policy import Verdict


@dataclass(frozen=True, slots=True)
class PutInForce:
    """A flip."""

    model: str
    stage: str
    number: int


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A version stays out for now: told once per move and reason."""

    model: str
    stage: str
    number: int
    reason: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class LoadedBy:
    """A worker has loaded and warmed a version, `seconds` after it was told to."""

    model: str
    stage: str
    pid: int
    seconds: float


FlipEvent = PutInForce | HeldBack | LoadedBy
