"""What the node hands to the host, and what it reads back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["waiting", "preparing", "load-failed", "load-late", "blocked", "serving"]
Holding = Literal["in force", "kept", "leased"]
"""In force or about to be; in grace; or retired, and held by a worker still."""


@dataclass(frozen=True, slots=True)
class ResidentVersion:
    """A verified, resident version: an absolute path to its immutable directory."""

    number: int
    digest: str
    path: str
    files: dict[str, int] = field(default_factory=dict)  # path within -> bytes; empty: not told


@dataclass(frozen=True, slots=True)
class Target:
    """What a model@stage is to serve. `keep`: the version that the other choice would put in
    force, kept loaded for the grace time. `received_ns`: CLOCK_MONOTONIC when the node got it.
    `split`: per mille of the requests that `keep` is to answer, as soon as workers have it."""

    model: str
    stage: str
    generation: int
    choice: int
    serve: ResidentVersion
    keep: ResidentVersion | None
    received_ns: int
    split: int = 0

    def is_rollback_to(self, digest: str) -> bool:
        """Whether its choice puts this, the previous version of the move, in force."""
        return self.choice % 2 == 1 and digest == self.serve.digest


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """One worker and the version it is to serve. `state`: untold, loading, late, ready or failed;
    `seconds`: what it took, or so far; `flip`: the one that it answers by, 0 for none."""

    pid: int
    state: str
    seconds: float
    flip: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a model@stage stands on this host: in force, and kept for a rollback or for grace."""

    model: str
    stage: str
    in_force: ResidentVersion
    kept: tuple[ResidentVersion, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a model@stage serves on this host. `*_ns` are CLOCK_MONOTONIC, 0 = not in this life.

    state       waiting: no target yet; preparing: workers load the target, or will in
                `begins_in_s`; load-failed: workers could not, what was in force serves on;
                load-late: they have not within their time, and may yet; blocked: the host could
                not store the flip; serving: the target is in force, with its split
                (all but `serving` may be about the version that a split adds: what else
                there is is in force by then)
    split       per mille of the requests that the other version of the move answers here
    workers     live ones; `ready`: of these, those that have the target (or, without one, the
                version in force) loaded; `switched`: those that answer by the flip in force;
                `standby`: those that have the other version of the move loaded, for a rollback
    """

    state: State
    flip: int
    generation: int
    choice: int
    digest: str | None
    number: int | None
    workers: int
    ready: int
    switched: int
    standby: int
    error: str | None
    received_ns: int
    flip_ns: int
    last_switch_ns: int
    policy: str = ""
    begins_in_s: float = 0.0
    progress: tuple[WorkerProgress, ...] = ()
    split: int = 0
