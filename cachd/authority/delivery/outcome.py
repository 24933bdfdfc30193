"""What follows from an answer. Pure: chance and time are arguments.

2xx is success and 410 Gone the end: the receiver wants no more. Everything else is tried again,
with exponential back-off and full jitter (M. Brooker, "Exponential backoff and jitter", 2015), and
not before a Retry-After of 429 or 503 within its bound, until it has failed as often as it may.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cachd.authority.delivery.settings import DeliverySettings

_GONE = 410
_LATER = frozenset({429, 503})


class Outcome(StrEnum):
    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `status` 0 and an `error` if nothing did. `retry_after_s` if it was asked."""

    status: int
    error: str
    duration_ms: int
    retry_after_s: float = 0.0

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """`delay_s` is how long to wait before the next attempt."""

    outcome: Outcome
    delay_s: float = 0.0


def judge(settings: DeliverySettings, answer: Answer, failed_before: int, draw: float) -> Verdict:
    """`failed_before`: attempts at this message so far; `draw` is uniform in [0, 1)."""
    if answer.success:
        return Verdict(Outcome.DELIVERED)
    if answer.status == _GONE:
        return Verdict(Outcome.DISABLED)
    failures = failed_before + 1
    if failures >= settings.attempts_max:
        return Verdict(Outcome.DEAD)
    asked_s = answer.retry_after_s if answer.status in _LATER else 0.0
    delay_s = draw * longest_delay_s(settings, failures)
    return Verdict(Outcome.RETRY, max(delay_s, min(asked_s, settings.retry_after_s_max)))


def longest_delay_s(settings: DeliverySettings, failures: int) -> float:
    """The bound below which the delay after so many failures is drawn."""
    delay_s = settings.retry_s_min
    for _ in range(failures - 1):
        if delay_s >= settings.retry_s_max:
            break
        delay_s *= settings.retry_factor
    return min(delay_s, settings.retry_s_max)
