"""How a node flips which of its stages, out of its command line.

An option is `VALUE`, for all stages, or `NAME@STAGE=VALUE`; of several that match a stage the first
with a pattern counts, whatever their order to the one without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Generic, TypeVar

import click

from cachd.control.limits import (
    LOAD_AT_ONCE_MAX,
    READY_TIMEOUT_S_MAX,
    READY_TIMEOUT_S_MIN,
    WARM_SPREAD_S_MAX,
)
from cachd.node.priority import few_processors
from cachd.node.stage_pattern import StagePattern
from cachd.serve.flip_policy import FlipPolicy
from cachd.serve.flip_rules import FlipRules
from registry_core.domain.identifiers import StageRef
from registry_core.errors import InvalidInput

T = TypeVar("T")

READY_TIMEOUT_S_DEFAULT = 60.0

_OPTIONS = (
    click.option("--flip-policy", multiple=True, metavar="[NAME@STAGE=]POLICY",
                 help="When to flip: all (workers are ready), quorum:SHARE, or timeout (with "
                 "those that are ready by then).  [default: all]"),
    click.option("--ready-timeout-s", multiple=True, metavar="[NAME@STAGE=]SECONDS",
                 help="What load and warm-up may take in a worker before it counts as late.  "
                 "[default: 60]"),
    click.option("--warm-spread-s", multiple=True, metavar="[NAME@STAGE=]SECONDS",
                 help="Begin to load a new version at a point of this span that differs from "
                 "host to host.  [default: 0]"),
    click.option("--load-at-once", multiple=True, metavar="[NAME@STAGE=]COUNT|all",
                 help="How many workers load a new version at a time, while another serves.  "
                 "[default: a quarter of the processors, at least 1]"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ByStage(Generic[T]):
    """A value for each stage."""

    patterns: tuple[tuple[StagePattern, T], ...]
    otherwise: T

    @classmethod
    def parse(
        cls, option: str, given: Sequence[str], read: Callable[[str], T], default: T
    ) -> ByStage[T]:
        patterns: list[tuple[StagePattern, T]] = []
        general: list[T] = []
        for text in given:
            pattern, equals, value = text.rpartition("=")
            try:
                parsed = read(value)
            except ValueError as error:
                raise InvalidInput(f"{option}: {error}") from error
            if equals:
                patterns.append((StagePattern.parse(pattern), parsed))
            else:
                general.append(parsed)
        if len(general) > 1:
            raise InvalidInput(
                f"{option} is given twice for all stages: say for which, as {option} "
                f"'NAME@STAGE={given[-1]:.80}'"
            )
        return cls(tuple(patterns), general[0] if general else default)

    def of(self, ref: StageRef) -> T:
        found = (value for pattern, value in self.patterns if pattern.matches(ref))
        return next(found, self.otherwise)


@dataclass(frozen=True, slots=True)
class FlipRulesByStage:
    policy: ByStage[FlipPolicy]
    ready_timeout_s: ByStage[float]
    warm_spread_s: ByStage[float]
    load_at_once: ByStage[int]

    @classmethod
    def parse(
        cls,
        *,
        policy: Sequence[str] = (),
        ready_timeout_s: Sequence[str] = (),
        warm_spread_s: Sequence[str] = (),
        load_at_once: Sequence[str] = (),
    ) -> FlipRulesByStage:
        """InvalidInput names the option and what it takes."""
        return cls(
            ByStage.parse("--flip-policy", policy, FlipPolicy.parse, FlipPolicy()),
            ByStage.parse(
                "--ready-timeout-s",
                ready_timeout_s,
                _seconds(READY_TIMEOUT_S_MIN, READY_TIMEOUT_S_MAX),
                READY_TIMEOUT_S_DEFAULT,
            ),
            ByStage.parse("--warm-spread-s", warm_spread_s, _seconds(0.0, WARM_SPREAD_S_MAX), 0.0),
            ByStage.parse("--load-at-once", load_at_once, _workers, few_processors()),
        )

    def of(self, model: str, stage: str, *, host: str) -> FlipRules:
        ref = StageRef.parse(f"{model}@{stage}")
        return FlipRules(
            self.policy.of(ref),
            self.ready_timeout_s.of(ref),
            self.warm_spread_s.of(ref),
            self.load_at_once.of(ref),
            host,
        )


def _workers(text: str) -> int:
    if text == "all":
        return 0
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LOAD_AT_ONCE_MAX:
        return int(text)
    raise ValueError(f"{text!r:.80} is no number of workers: 1 to {LOAD_AT_ONCE_MAX}, or all")


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            raise ValueError(f"{text!r:.80} is no number of seconds from {low:g} to {high:g}")
        return value

    return read


def flip_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets `flip_rules`, a FlipRulesByStage."""

    @wraps(command)
    def parsed(
        *, flip_policy: Sequence[str], ready_timeout_s: Sequence[str], load_at_once: Sequence[str],
        warm_spread_s: Sequence[str], **others: Any,
    ) -> Any:  # fmt: skip
        rules = FlipRulesByStage.parse(
            policy=flip_policy,
            ready_timeout_s=ready_timeout_s,
            load_at_once=load_at_once,
            warm_spread_s=warm_spread_s,
        )
        return command(flip_rules=rules, **others)

    options: Callable[..., Any] = parsed
    for option in reversed(_OPTIONS):
        options = option(options)
    return options
