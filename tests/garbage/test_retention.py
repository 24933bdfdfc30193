"""Retention rules, as a table."""

from __future__ import annotations

import pytest

from registry_core.garbage.retention import DAY_MS, expired, rule_text
from registry_core.ledger.records import VersionRecord

NOW = 1_000 * DAY_MS


def version(number: int, age_days: float, *, deleted: bool = False) -> VersionRecord:
    return VersionRecord(
        model="m", number=number, digest="", bytes=1, files=1, chunk_bytes=1, bundle="",
        publisher="", tags={}, notes="", created_ms=NOW - int(age_days * DAY_MS), actor="a",
        sequence=number, deleted_ms=1 if deleted else 0,
    )  # fmt: skip


FIVE = [version(number, 100 - 10 * number) for number in range(1, 6)]  # 90, 80, 70, 60, 50 days


@pytest.mark.parametrize(
    ("rule", "named", "gone"),
    [
        ({}, [], []),
        ({"keep_newest": 2}, [], [3, 2, 1]),
        ({"keep_newest": 2}, [1], [3, 2]),
        ({"keep_newest": 5}, [], []),
        ({"keep_newest": 9}, [], []),
        ({"keep_days": 65}, [], [3, 2, 1]),
        ({"keep_days": 70}, [], [2, 1]),
        ({"keep_days": 1}, [], [4, 3, 2, 1]),
        ({"keep_days": 1}, [1, 3], [4, 2]),
        ({"keep_newest": 4, "keep_days": 1}, [], [1]),
        ({"keep_newest": 1, "keep_days": 75}, [], [2, 1]),
        ({"keep_newest": 4, "keep_days": 95}, [], []),
    ],
)
def test_what_a_rule_lets_go_of(rule: dict[str, int], named: list[int], gone: list[int]) -> None:
    assert [one.number for one in expired(FIVE, rule, named, NOW)] == gone


def test_deleted_versions_do_not_count_among_the_newest() -> None:
    versions = [version(1, 9), version(2, 8), version(3, 7, deleted=True), version(4, 6)]
    assert [one.number for one in expired(versions, {"keep_newest": 2}, [], NOW)] == [1]


def test_the_reason_names_the_rule() -> None:
    assert rule_text({"keep_newest": 3, "keep_days": 90}) == "retention: keep_days=90 keep_newest=3"
