"""What follows from an answer, and where nobody may connect to. No clock, no socket."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cachd.authority.delivery.addresses import is_refused
from cachd.authority.delivery.outcome import Answer, Outcome, judge, longest_delay_s
from cachd.authority.delivery.sender import retry_after_s
from cachd.authority.delivery.settings import DeliverySettings

SETTINGS = DeliverySettings()


def answer(status: int, retry_after_s: float = 0.0) -> Answer:
    return Answer(status, "", 1, retry_after_s)


@pytest.mark.parametrize(
    ("status", "failed_before", "outcome"),
    [
        (200, 0, "delivered"), (204, 47, "delivered"), (299, 5, "delivered"),
        (410, 0, "disabled"), (410, 47, "disabled"),
        (0, 0, "retry"), (199, 0, "retry"), (301, 3, "retry"), (400, 0, "retry"),
        (404, 46, "retry"), (429, 0, "retry"), (500, 46, "retry"), (503, 0, "retry"),
        (500, 47, "dead"), (0, 47, "dead"), (429, 47, "dead"), (500, 99, "dead"),
    ],
)  # fmt: skip
def test_outcomes(status: int, failed_before: int, outcome: str) -> None:
    verdict = judge(SETTINGS, answer(status), failed_before, 0.5)
    assert verdict.outcome.value == outcome
    assert (verdict.delay_s > 0) == (outcome == "retry")


def test_the_schedule() -> None:
    longest = [longest_delay_s(SETTINGS, failures) for failures in range(1, 9)]
    assert longest == [5, 20, 80, 320, 1280, 1800, 1800, 1800]
    hours = sum(longest_delay_s(SETTINGS, n) for n in range(1, SETTINGS.attempts_max)) / 3600
    assert 20 < hours < 24, "with half of it on average: about half a day"
    assert longest_delay_s(SETTINGS, 10**6) == 1800


def test_full_jitter(seed: int) -> None:
    rng = random.Random(seed)
    delays = [judge(SETTINGS, answer(500), 3, rng.random()).delay_s for _ in range(2_000)]
    assert min(delays) < 16
    assert 304 < max(delays) < 320
    assert 140 < sum(delays) / len(delays) < 180


def test_retry_after_is_a_lower_bound_within_a_bound() -> None:
    for status in (429, 503):
        assert judge(SETTINGS, answer(status, 60.0), 0, 0.5).delay_s == 60
        assert judge(SETTINGS, answer(status, 1.0), 0, 0.5).delay_s == 2.5
        assert judge(SETTINGS, answer(status, 1e9), 0, 0.5).delay_s == 3600
    assert judge(SETTINGS, answer(500, 60.0), 0, 0.5).delay_s == 2.5, "only when it is busy"


def test_retry_after_as_number_and_date() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    for text, seconds in (("7", 7), (later, 90), ("0", 0), ("", 0), ("soon", 0), ("-5", 0),
                          ("9" * 40, 0), ("Fri, 99 Jan", 0), ("²", 0)):  # fmt: skip
        assert retry_after_s(text, now.timestamp()) == seconds, text
    past = format_datetime(now - timedelta(seconds=90), usegmt=True)
    assert retry_after_s(past, now.timestamp()) == 0


def test_one_attempt_is_all() -> None:
    impatient = DeliverySettings(attempts_max=1)
    assert judge(impatient, answer(500), 0, 0.5).outcome is Outcome.DEAD


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254",
     "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
     "100.100.100.200", "168.63.129.16"],
)  # fmt: skip
def test_refused(address: str) -> None:
    assert is_refused(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fd00::1", "8.8.8.8", "a.example"]
)
def test_allowed(address: str) -> None:
    assert not is_refused(address)
