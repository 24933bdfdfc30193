"""The one encoding: round trip, agreement with another implementation, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from registry_core.domain import canonical, limits
from registry_core.errors import InvalidInput

ASCII = st.text(st.characters(min_codepoint=0, max_codepoint=127), max_size=8)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-limits.INTEGER_MAX, limits.INTEGER_MAX) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ASCII, inner, max_size=4),
    max_leaves=20,
)


def decode(data: bytes) -> Any:
    return canonical.decode(data, bytes_max=1 << 20, what="the document")


@given(VALUES)
def test_round_trip(value: Any) -> None:
    assert decode(canonical.encode(value)) == value


@given(VALUES)
def test_agrees_with_another_implementation(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(VALUES)
def test_any_other_spelling_is_refused(value: Any) -> None:
    spelling = json.dumps(value, indent=1).encode()
    if spelling != canonical.encode(value):
        with pytest.raises(InvalidInput, match="the document is not in canonical form"):
            decode(spelling)


@given(st.binary(max_size=60))
def test_bytes_are_canonical_json_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except InvalidInput:
        return
    assert canonical.encode(value) == data


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "1.0", "1e3", "-0", "NaN", "Infinity", "-Infinity",
        "9007199254740992", "-9007199254740992", "1" * 5000, '"\\ud800"', '["\\udfff"]',
        '{"\\ud800":1}', '{"ä":1}', '{"b":1,"a":2}', " 1", "1 ", "[1, 2]", '"\\u0041"', '"\\/"',
        '"\\u001F"', '"\t"', "", "[", "nul", "\ufeff1", '{"a":1}{}', "[1,]", "01", "+1", "'a'",
        "[" * 100_000, '{"a":' * 100_000, "[" * 18 + "]" * 18,
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode(text.encode())


@pytest.mark.parametrize("data", [b"\xff", b'"\xed\xa0\x80"', b'"\xc0\x80"', b"1\0"])
def test_what_is_no_utf8_text_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


def test_depth_is_bounded_exactly() -> None:
    """No value lies within more than 16 others; the innermost here is a list."""
    deepest = b"[" * (limits.JSON_DEPTH_MAX + 1) + b"]" * (limits.JSON_DEPTH_MAX + 1)
    decode(deepest)
    with pytest.raises(InvalidInput, match="deeper"):
        decode(b"[" + deepest + b"]")
    for shape in ('{"a":%s}', "[%s]"):
        text = '"x"'
        for _ in range(limits.JSON_DEPTH_MAX):
            text = shape % text
        decode(text.encode())
        with pytest.raises(InvalidInput, match="deeper"):
            decode((shape % text).encode())


def test_a_document_beyond_its_bound_is_refused_unread() -> None:
    with pytest.raises(InvalidInput, match="5 bytes, more than the 4"):
        canonical.decode(b"[1,2]", bytes_max=4, what="x")


@pytest.mark.parametrize(
    "value",
    [1.5, {1: 2}, {"ä": 1}, (1,), b"x", {"a": {1}}, "\ud800", 1 << 53, -(1 << 53), {None: 1},
     float("nan"), object()],
)  # fmt: skip
def test_what_has_no_canonical_form_is_not_encoded(value: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical.encode(value)


@pytest.mark.parametrize("text", ['{"b": 1, "a": [true]}', " 1", "[1, 2]"])
def test_any_json_allows_white_space_and_order(text: str) -> None:
    found = canonical.decode_any_json(text.encode(), bytes_max=100, what="x")
    assert found == json.loads(text)
