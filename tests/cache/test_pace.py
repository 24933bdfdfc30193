"""Bulk work rests while requests are answered beside it, and only then."""

from __future__ import annotations

import time

import pytest

from cachd import limits
from cachd.cache.pace import UNPACED, Pace

WORKED_S = 0.02


def test_a_thread_that_works_a_fifth_of_the_time_rests_four_fifths() -> None:
    began_s = time.monotonic()
    rested_s = Pace(0.2).rest(WORKED_S)
    assert 4 * WORKED_S <= rested_s <= time.monotonic() - began_s


def test_it_rests_after_each_piece_as_long_as_requests_are_answered() -> None:
    answering = iter([True, False, True])
    asked = []

    def beside_requests() -> bool:
        asked.append(next(answering))
        return asked[-1]

    pace = Pace(0.5, beside_requests)
    took_s = []
    for _ in range(3):
        began_s = time.monotonic()
        with pace.piece():
            time.sleep(WORKED_S)
        took_s.append(time.monotonic() - began_s)
    assert asked == [True, False, True]
    assert took_s[0] >= 2 * WORKED_S
    assert took_s[2] >= 2 * WORKED_S


@pytest.mark.parametrize("pace", [UNPACED, Pace(1.0), Pace(0.01, lambda: False)])
def test_where_there_is_no_reason_it_does_not_rest(pace: Pace) -> None:
    assert not pace.rests
    assert pace.rest(60.0) == 0.0


def test_a_rest_is_bounded_so_that_work_can_be_ended_soon() -> None:
    began_s = time.monotonic()
    assert Pace(0.01).rest(60.0) >= limits.BULK_REST_S_MAX
    assert time.monotonic() - began_s < 60.0


def test_a_piece_that_failed_is_told_at_once() -> None:
    def beside_requests() -> bool:
        raise AssertionError("it asked whether to rest")

    with pytest.raises(OSError, match="no such disk"), Pace(0.5, beside_requests).piece():
        raise OSError("no such disk")


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_that_makes_no_sense_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share of the time"):
        Pace(share)
