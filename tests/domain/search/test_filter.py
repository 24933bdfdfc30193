"""Filters: what they mean, how wrong ones are refused, and that nothing else ever comes out."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_core.domain.search import sortable
from registry_core.domain.search.fields import Field
from registry_core.domain.search.filter import Op, Term, parse_filter
from registry_core.domain.search.like import is_like, literal_prefix
from registry_core.domain.search.order import Order, parse_order
from registry_core.domain.search.page_token import decode_token, encode_token
from registry_core.errors import InvalidInput

GOOD = {
    "": (),
    "tags.team = 'fraud'": (Term(Field("tags", "team"), Op.EQ, ("fraud",)),),
    "tags.`my key` = 'it''s'": (Term(Field("tags", "my key"), Op.EQ, ("it's",)),),
    'tags."my key"="x"': (Term(Field("tags", "my key"), Op.EQ, ("x",)),),
    " metrics.auc>=-1.5e-3 ": (Term(Field("metrics", "auc"), Op.GE, (-0.0015,)),),
    "name like 'a%' and number <> 3": (
        Term(Field("name"), Op.LIKE, ("a%",)), Term(Field("number"), Op.NE, (3.0,)),
    ),
    "tags.git-sha NOT IN ('a','b')": (Term(Field("tags", "git-sha"), Op.NOT_IN, ("a", "b")),),
    "tags.mlflow.user = 'x'": (Term(Field("tags", "mlflow.user"), Op.EQ, ("x",)),),
    "lineage.dataset.train='d'": (Term(Field("lineage", "dataset.train"), Op.EQ, ("d",)),),
    "metrics.5fold > 0": (Term(Field("metrics", "5fold"), Op.GT, (0.0,)),),
    'tags."it""s" = "it""s"': (Term(Field("tags", 'it"s'), Op.EQ, ('it"s',)),),
    "number in (1, 2)": (Term(Field("number"), Op.IN, (1.0, 2.0)),),
    "tags.a IS NULL AND metrics.b is not null": (
        Term(Field("tags", "a"), Op.IS_NULL, ()), Term(Field("metrics", "b"), Op.IS_NOT_NULL, ()),
    ),
    "created > '2026-11-01'": (Term(Field("created"), Op.GT, (1793491200000.0,)),),
    "created < '2026-11-01T02:00:00+02:00'": (Term(Field("created"), Op.LT, (1793491200000.0,)),),
    "created = '2038-04-08T21:19:33.977Z'": (
        Term(Field("created"), Op.EQ, (2154374373977.0,)),
    ),
    "created >= 1793491200000": (Term(Field("created"), Op.GE, (1793491200000.0,)),),
    "stage = 'production' AND formats = 'onnx'": (
        Term(Field("stage"), Op.EQ, ("production",)), Term(Field("formats"), Op.EQ, ("onnx",)),
    ),
}  # fmt: skip
BAD = {
    "tags.team": "expected a comparison",
    "tags = 'x'": "tags.KEY",
    "name.x = 'y'": "'name' is written name",
    "colour = 'red'": "character 1: field 'colour' is not known: there are name",
    "name = 3": "character 8: name is compared with text",
    "number = 'three'": "number is compared with a number",
    "number = 1e999": "a number",
    "created = 'yesterday'": "created is compared with a time",
    "name = 'a' OR name = 'b'": "no OR",
    "(name = 'a')": "parentheses",
    "name = 'a' AND": "it ends",
    "name = 'a' name = 'b'": "expected AND",
    "name ~ 'a'": "character 6",
    "name = 'a": "character 8: this quote is never closed",
    "tags.`a": "character 6: this quote is never closed",
    "name = '\ud800'": "filter, character 9: half of a surrogate pair",
    "created > 1e300": "character 11: created is compared with a time",
    "created = 9007199254740992": "a time",
    "number = \u0663": "character 10",
    "tags.a.`b` = 'x'": "no comparison for tags.a",
    "name.first = 'x'": "'name' is written name",
    "name LIKE 3": "text",
    "number LIKE '3'": "no comparison for number",
    "name IS NULL": "no comparison for name",
    "tags.a IS 'x'": "expected NULL",
    "tags.a NOT NULL": "expected IN",
    "number IN 3": "expected '('",
    "number IN (3": "it ends",
    "number IN ()": "a number",
    "tags.`` = 'x'": "1 to 128",
    "x" * 5000: "at most 4096 characters",
    " AND ".join(["number = 1"] * 33): "at most 32 terms",
    f"number IN ({','.join(['1'] * 300)})": "at most 256 values",
    "name = 'a'; DROP TABLE versions": "character 11: not understood",
    "\0": "character 1",
}


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    assert parse_filter(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:30])
def test_bad(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(text)
    assert BAD[text] in str(caught.value)


def test_whatever_comes_only_invalid_input_is_raised(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [
        *GOOD,
        *list(BAD)[:20],
        "'",
        '"',
        "`",
        ".",
        "(",
        ")",
        ",",
        " AND ",
        "=",
        "\0",
        "é",
        "\ud800",
        "1e300",
        "9",
    ]
    for _ in range(20_000):
        text = "".join(rng.choices(pieces, k=rng.randrange(1, 4)))
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at]
            + rng.choice(["", *"'\"`.(),=<>! \n\x7f\ud800a1"])
            + text[at + rng.randrange(3) :]
        )
        for parse in (parse_filter, parse_order, lambda token: decode_token(token, "q")):
            try:
                parse(text)
            except InvalidInput:
                continue


def test_like() -> None:
    for text, pattern, expected in (
        ("", "", True), ("", "%", True), ("a", "", False), ("abc", "a%", True), ("abc", "%c", True),
        ("abc", "a_c", True), ("abc", "a_", False), ("abc", "%b%", True), ("aXbXc", "a%b%c", True),
        ("ab", "b%", False), ("a%b", "a%b", True), ("mississippi", "m%iss%ip%", True),
    ):  # fmt: skip
        assert is_like(text, pattern) is expected, (text, pattern)
    assert not is_like("a" * 4000, "%a" * 1000 + "b"), "no blow-up"
    assert (literal_prefix("ab%c_"), literal_prefix("abc"), literal_prefix("_")) == (
        "ab",
        "abc",
        "",
    )


@given(st.text(alphabet="ab%_", max_size=8), st.text(alphabet="ab%_", max_size=6))
def test_like_against_a_slow_one(text: str, pattern: str) -> None:
    def slow(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(slow(text[n:], pattern[1:]) for n in range(len(text) + 1))
        return bool(text) and pattern[0] in ("_", text[0]) and slow(text[1:], pattern[1:])

    assert is_like(text, pattern) == slow(text, pattern)


def test_order() -> None:
    assert parse_order("") == ()
    assert parse_order("metrics.auc desc, name") == (
        Order(Field("metrics", "auc"), descending=True), Order(Field("name"), descending=False),
    )  # fmt: skip
    assert parse_order("metrics.val.auc") == (Order(Field("metrics", "val.auc"), descending=False),)
    for text in (
        "auc", "name down", "tags.team", "name,", "name,name,name,name,name", "metrics",
        "metrics.`\ud800`", "name" * 2000,
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match="order_by"):
            parse_order(text)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_floats_sort_as_their_bytes(a: float, b: float) -> None:
    one, other = sortable.encode_float64(a), sortable.encode_float64(b)
    assert (one < other, one == other) == (a < b, a == b)
    assert sortable.decode_float64(one) == a


@given(st.text(), st.text(), st.integers(0, 1 << 53), st.integers(0, 1 << 53))
@example("", "\0", 0, 0)
@example("a", "a\0", 1 << 53, 0)
def test_text_sorts_as_its_bytes(a: str, b: str, after_a: int, after_b: int) -> None:
    one, other = sortable.encode_text(a), sortable.encode_text(b)
    assert (one < other) == (a < b)
    assert sortable.decode_text(one) == a
    ends = sortable.encode_u64(after_a), sortable.encode_u64(after_b)
    assert (one + ends[0] < other + ends[1]) == ((a, ends[0]) < (b, ends[1]))
    assert "\0" in b or a == b or not other.startswith(one)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=40), st.text(max_size=20))
def test_round_trips(number: int, position: bytes, query: str) -> None:
    assert sortable.decode_u64(sortable.encode_u64(number)) == number
    assert decode_token(encode_token(query, position), query) == position
    with pytest.raises(InvalidInput):
        decode_token(encode_token(query, position), query + "!")
