"""Masks show what they name, and refuse what there is not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from registry_core.domain.search.field_mask import masked, parse_mask
from registry_core.errors import InvalidInput

DOCUMENT: dict[str, Any] = {
    "number": 3,
    "notes": "long",
    "tags": {"team": "fraud", "a.b": "dotted"},
    "metrics": {"auc": "0.93"},
}


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        ("", DOCUMENT),
        (" ", DOCUMENT),
        ("number", {"number": 3}),
        ("number, tags.team ,metrics", {"number": 3, "tags": {"team": "fraud"},
                                        "metrics": {"auc": "0.93"}}),
        ("tags.team,tags.a.b", {"tags": {"team": "fraud", "a.b": "dotted"}}),
        ("tags.none", {"tags": {}}),
        ("tags,tags.team", {"tags": DOCUMENT["tags"]}),
        ("tags.team,tags", {"tags": DOCUMENT["tags"]}),
        ("number,number", {"number": 3}),
        ("number.x", {}),
    ],
)  # fmt: skip
def test_what_is_shown(mask: str, shown: dict[str, Any]) -> None:
    before = repr(DOCUMENT)
    assert masked(DOCUMENT, parse_mask(mask, DOCUMENT)) == shown
    assert repr(DOCUMENT) == before


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("colour", "'colour' is not known: metrics, notes, number, tags"),
        ("number,", "'' is not known"),
        ("tags.", "'tags.' is not known"),
        (".team", "'.team' is not known"),
        ("tags.\ud800", "fields, character 6: half of a surrogate pair"),
        ("number," * 1000, "fields has at most 4096 characters"),
    ],
)
def test_refused(mask: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_mask(mask, DOCUMENT)
    assert said in str(caught.value)


def test_whatever_comes_only_invalid_input_is_raised(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(5_000):
        text = "".join(rng.choices(["number", "tags", ".", ",", " ", "\0", "é", "\ud800"], k=6))
        try:
            masked(DOCUMENT, parse_mask(text, DOCUMENT))
        except InvalidInput:
            continue
