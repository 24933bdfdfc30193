"""What terms mean, said without an index: NULL as in SQL, members, text, numbers."""

from __future__ import annotations

import pytest

from registry_core.domain.search.filter import parse_filter
from registry_core.domain.search.match import Candidate, matches

VERSION = Candidate(
    name="fraud-detector",
    number=3,
    digest="sha256:" + "ab" * 32,
    created=1793491200000,  # 2026-11-01
    publisher="ci",
    actor="spiffe://lab/ci",
    bytes=4096,
    notes="Trained on Straße",
    tags={"team": "fraud", "empty": ""},
    metrics={"auc": 0.93, "loss": -1.5},
    lineage={"dataset.train": "d1"},
    stage=("production", "staging"),
    formats=("safetensors",),
)
TRUE = [
    "name = 'fraud-detector'", "name LIKE 'fraud-%'", "name NOT IN ('a', 'b')", "name != 'x'",
    "number = 3", "number IN (1, 3)", "number < 4 AND number <= 3 AND number > 2 AND number >= 3",
    "created = '2026-11-01'", "created = '2026-11-01T01:00:00+01:00'", "created < '2026-11-02'",
    "metrics.auc >= 0.93", "metrics.loss < -1", "metrics.auc IS NOT NULL", "metrics.f1 IS NULL",
    "tags.empty = ''", "tags.empty IS NOT NULL", "tags.team ILIKE 'FR%'", "tags.none IS NULL",
    "notes ILIKE '%STRASSE'", "lineage.dataset.train = 'd1'", "bytes >= 4096",
    "stage = 'production'", "stage = 'staging'", "stage != 'canary'", "stage LIKE 'prod%'",
    "stage IN ('canary', 'staging')", "formats = 'safetensors'", "formats NOT IN ('pickle')",
]  # fmt: skip
FALSE = [
    "name = 'Fraud-Detector'", "name LIKE 'fraud'", "tags.team LIKE 'FR%'", "number != 3",
    "metrics.auc > 0.93", "created > '2026-11-01'", "formats = 'pickle'",
    "stage != 'production'", "stage NOT IN ('staging')", "stage = 'canary'",
]  # fmt: skip
OF_NOTHING = [
    "tags.none = ''", "tags.none != 'x'", "tags.none LIKE '%'", "tags.none ILIKE '%'",
    "tags.none IN ('x')", "tags.none NOT IN ('x')", "tags.none IS NOT NULL", "metrics.f1 = 0",
    "metrics.f1 != 0", "metrics.f1 < 1", "metrics.f1 >= 0", "metrics.f1 NOT IN (1)",
    "lineage.none != 'x'",
]  # fmt: skip


def holds(text: str) -> bool:
    return all(matches(VERSION, term) for term in parse_filter(text))


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", FALSE)
def test_false(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize("text", OF_NOTHING)
def test_what_a_version_lacks_answers_only_is_null(text: str) -> None:
    assert not holds(text)


def test_all_terms_must_hold() -> None:
    assert holds(f"{TRUE[0]} AND {TRUE[-1]}")
    assert not holds(f"{TRUE[0]} AND {FALSE[0]}")
    assert holds("")
