"""The decision itself: what the rules say of a few cases, and of all small ones."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from cachd.serve.flip_policy import FlipPolicy, Verdict, Workers, decide
from cachd.serve.limits import WORKER_DEATHS_MAX

ALL, TIMEOUT = FlipPolicy("all"), FlipPolicy("timeout")
QUORUM = FlipPolicy.parse("quorum:75%")
SIZES = range(4)


@pytest.mark.parametrize(
    ("workers", "deadlines", "by_all", "by_quorum", "by_timeout"),
    [
        (Workers(), 0, "flip", "flip", "flip"),  # nobody to wait for
        (Workers(missing=2), 0, "wait", "wait", "wait"),  # they ended over it
        (Workers(missing=2), 1, "flip", "flip", "flip"),
        (Workers(ready=4), 0, "flip", "flip", "flip"),
        (Workers(ready=3, loading=1), 0, "wait", "flip", "wait"),
        (Workers(ready=2, loading=2), 0, "wait", "wait", "wait"),
        (Workers(ready=2, late=2), 1, "load-late", "load-late", "flip"),
        (Workers(ready=3, late=1), 1, "load-late", "flip", "flip"),
        (Workers(late=4), 1, "load-late", "load-late", "load-late"),
        (Workers(ready=3, failed=1), 0, "load-failed", "flip", "load-failed"),
        (Workers(ready=2, failed=2), 0, "load-failed", "load-failed", "load-failed"),
        (Workers(ready=2, failed=2), 2, "load-failed", "load-failed", "load-failed"),
        (Workers(ready=3, missing=1), 0, "wait", "flip", "wait"),
        (Workers(ready=3, missing=1), 1, "flip", "flip", "flip"),  # it did not come back
        (Workers(ready=2, missing=2), 0, "wait", "wait", "wait"),
        (Workers(ready=1, missing=3), 1, "flip", "flip", "flip"),
        (Workers(ready=3, loading=1), 1, "wait", "flip", "flip"),  # it came in the middle
        (Workers(ready=3, loading=1), 2, "flip", "flip", "flip"),
        (Workers(ready=2, loading=2), 2, "flip", "wait", "flip"),
        (Workers(loading=4), 2, "wait", "wait", "wait"),  # nobody has loaded it
        (Workers(ready=4, died=3), 0, "workers-died", "flip", "workers-died"),
        (Workers(ready=2, loading=2, died=3), 2, "workers-died", "workers-died", "workers-died"),
        (Workers(died=3), 1, "workers-died", "workers-died", "workers-died"),
    ],
)
def test_cases(
    workers: Workers, deadlines: int, by_all: Verdict, by_quorum: Verdict, by_timeout: Verdict
) -> None:
    for policy, verdict in ((ALL, by_all), (QUORUM, by_quorum), (TIMEOUT, by_timeout)):
        found = decide(policy, workers, free=False, deadlines=deadlines)
        assert found == verdict, policy
        assert decide(policy, workers, free=True, deadlines=deadlines) == "flip"


def test_all_small_cases() -> None:
    """What must hold of every combination, whatever the order of the rules."""
    policies = (ALL, TIMEOUT, QUORUM, FlipPolicy("quorum", Fraction(1, 2)), FlipPolicy("quorum"))
    died = (0, WORKER_DEATHS_MAX)
    cases = itertools.product(policies, *[SIZES] * 5, died, (0, 1, 2))
    for policy, ready, failed, late, loading, missing, deaths, deadlines in cases:
        workers = Workers(ready, failed, late, loading, missing, deaths)
        told = f"{policy} {workers} {deadlines}"
        found = decide(policy, workers, free=False, deadlines=deadlines)
        if workers.live and not ready:
            assert found != "flip", told  # a version that nobody has loaded stays out
        if workers.live and ready == workers.live and not missing and not deaths:
            assert found == "flip", told
        if policy == ALL and (failed or late):
            assert found not in ("flip", "wait"), told
        if policy == TIMEOUT and failed:
            assert found not in ("flip", "wait"), told
        if policy.kind == "quorum" and workers.live and found == "flip":
            assert ready >= policy.needed(workers.live), told
        if deaths and policy.kind != "quorum":
            assert found == "workers-died", told
        if found == "wait":  # somebody can still change it, by being ready or by coming back
            assert loading or missing, told
        if found == "flip" and policy.kind != "quorum":  # one more that is ready holds up nothing
            more = Workers(ready + 1, failed, late, loading, missing, deaths)
            if workers.live:
                assert decide(policy, more, free=False, deadlines=deadlines) == "flip", told


def test_policies_as_they_are_written() -> None:
    for text, share in (("quorum:80%", "4/5"), ("quorum:0.8", "4/5"), ("quorum:1", "1"),
                        ("quorum:12.5%", "1/8"), ("quorum:100%", "1")):  # fmt: skip
        assert FlipPolicy.parse(text) == FlipPolicy("quorum", Fraction(share))
    assert [str(FlipPolicy.parse(text)) for text in ("all", "timeout", "quorum:0.125")] == [
        "all",
        "timeout",
        "quorum:12.5%",
    ]
    wrong = "ALL quorum quorum: quorum:0 quorum:0% quorum:101% quorum:1.01 quorum:-1 quorum:1e0"
    for text in ("", "quorum:80 %", "all,timeout", *wrong.split()):
        with pytest.raises(ValueError, match="quorum:80%"):
            FlipPolicy.parse(text)


def test_a_quorum_is_rounded_up_and_never_nobody() -> None:
    needed = [FlipPolicy.parse("quorum:0.5").needed(count) for count in range(6)]
    assert needed == [1, 1, 1, 2, 2, 3]
    assert FlipPolicy.parse("quorum:80%").needed(10) == 8  # 0.8 * 10 is 8.000000000000002 in floats
    assert FlipPolicy.parse("quorum:0.1%").needed(4096) == 5
