"""Filters, as MLflow writes them: terms joined by AND.

    tags.team = 'fraud' AND metrics.auc >= 0.93 AND name LIKE 'fraud-%' AND created > '2026-11-01'

field     name number digest created publisher actor bytes notes stage formats
          tags.KEY metrics.KEY lineage.KEY; a KEY of other than letters, digits, _ - and . is
          quoted with backticks or double quotes: tags."my key"
compare   = != < <= > >= (numbers and times: all; text: = != LIKE ILIKE IN NOT IN)
presence  tags.KEY IS NULL, metrics.KEY IS NOT NULL
text      'single quotes', '' for a quote within; double quotes are accepted
number    decimal, with sign and exponent if need be
time      ISO 8601 in quotes (UTC where it names no zone), or Unix milliseconds

There is no OR and there are no parentheses, as in MLflow: ask twice. Pure; bounded by
FILTER_CHARS_MAX and FILTER_TERMS_MAX; whatever is wrong is InvalidInput with the place.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from registry_core.domain import limits
from registry_core.domain.search.fields import Field, Kind, make_field
from registry_core.domain.search.query_text import check_query_text
from registry_core.errors import InvalidInput

Value = str | float
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
  | (?P<quoted>`[^`]*`)
  | (?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
  | (?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*)
  | (?P<sign><=|>=|!=|<>|=|<|>|\.|,|\(|\))
  )""",
    re.VERBOSE,
)


class Op(StrEnum):
    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Term:
    """`values`: one; several for IN and NOT IN; none for IS NULL. Times are Unix milliseconds."""

    field: Field
    op: Op
    values: tuple[Value, ...]


_ORDERED = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE, Op.IN, Op.NOT_IN})
_TEXTUAL = frozenset({Op.EQ, Op.NE, Op.LIKE, Op.ILIKE, Op.IN, Op.NOT_IN})
_PRESENCE = frozenset({Op.IS_NULL, Op.IS_NOT_NULL})


def parse_filter(text: str) -> tuple[Term, ...]:
    """The terms, all of which must hold; none for an empty filter."""
    check_query_text(text, "filter")
    parser = _Parser(text)
    terms = [parser.term()] if not parser.at_end else []
    while not parser.at_end:
        parser.word("AND")
        terms.append(parser.term())
        if len(terms) > limits.FILTER_TERMS_MAX:
            raise InvalidInput(f"a filter has at most {limits.FILTER_TERMS_MAX} terms")
    return tuple(terms)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        self._end = len(text)

    @property
    def at_end(self) -> bool:
        return self._next == len(self._tokens)

    def term(self) -> Term:
        field = self._field()
        op = self._op(field)
        if op in _PRESENCE:
            return Term(field, op, ())
        if op in (Op.IN, Op.NOT_IN):
            return Term(field, op, self._list(field))
        return Term(field, op, (self._value(field),))

    def word(self, wanted: str) -> None:
        token = self._take(wanted)
        if token.kind != "word" or token.text.upper() != wanted:
            hint = " (there is no OR and no parentheses: ask twice)" if _is_or(token) else ""
            raise _wrong(token, f"expected {wanted}, not {token.text!r:.40}{hint}")

    def _field(self) -> Field:
        token = self._take("a field")
        if token.kind != "word":
            hint = ": parentheses are not supported, ask twice" if token.text == "(" else ""
            raise _wrong(token, f"expected a field, not {token.text!r:.40}{hint}")
        name, dot, rest = token.text.partition(".")
        key = rest if dot else None
        if key is None and self._is_sign("."):
            self._next += 1
            part = self._take("a key")
            if part.kind not in ("word", "quoted", "text"):
                raise _wrong(part, f"expected a key, not {part.text!r:.40}")
            key = part.text if part.kind == "word" else _unquoted(part)
        try:
            return make_field(name, key)
        except InvalidInput as error:
            raise _wrong(token, str(error)) from error

    def _op(self, field: Field) -> Op:
        token = self._take("a comparison")
        said = "!=" if token.text == "<>" else token.text.upper()
        if said == "NOT":
            self.word("IN")
            said = "NOT IN"
        elif said == "IS":
            following = self._take("NULL")
            said = "IS NOT NULL" if following.text.upper() == "NOT" else "IS NULL"
            if said == "IS NOT NULL":
                self.word("NULL")
            elif following.text.upper() != "NULL":
                raise _wrong(following, f"expected NULL or NOT NULL, not {following.text!r:.40}")
        allowed = _TEXTUAL if field.kind is Kind.TEXT else _ORDERED
        allowed = allowed | _PRESENCE if field.key is not None else allowed
        if token.kind in ("text", "quoted", "number") or said not in {op.value for op in allowed}:
            known = ", ".join(op.value for op in Op if op in allowed)
            raise _wrong(token, f"{said!r:.40} is no comparison for {field}: there are {known}")
        return Op(said)

    def _list(self, field: Field) -> tuple[Value, ...]:
        self._sign("(")
        values = [self._value(field)]
        while self._is_sign(","):
            self._next += 1
            values.append(self._value(field))
            if len(values) > limits.FILTER_VALUES_MAX:
                raise InvalidInput(f"a list has at most {limits.FILTER_VALUES_MAX} values")
        self._sign(")")
        return tuple(values)

    def _value(self, field: Field) -> Value:
        token = self._take("a value")
        value = _value_of(token, field.kind)
        if value is None:
            raise _wrong(token, f"{field} is compared with {field.kind}, not {token.text!r:.40}")
        return value

    def _take(self, wanted: str) -> _Token:
        if self.at_end:
            raise InvalidInput(f"filter, character {self._end + 1}: expected {wanted}, but it ends")
        self._next += 1
        return self._tokens[self._next - 1]

    def _is_sign(self, sign: str) -> bool:
        return not self.at_end and self._tokens[self._next].text == sign

    def _sign(self, sign: str) -> None:
        token = self._take(sign)
        if token.text != sign:
            raise _wrong(token, f"expected {sign!r}, not {token.text!r:.40}")


def parse_time(text: str) -> float | None:
    """Unix milliseconds of an ISO 8601 date or date-time (UTC where it names no zone), or None."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return (zoned - _EPOCH) / timedelta(milliseconds=1)  # exact, which seconds as a float are not


def _tokens(text: str) -> list[_Token]:
    found, offset, end = [], 0, len(text.rstrip())
    while offset < end:
        match = _TOKEN.match(text, offset)
        if match is None or match.lastgroup is None:
            rest = text[offset:].lstrip()
            said = "this quote is never closed" if rest[0] in "'\"`" else "not understood"
            place = end - len(rest.rstrip()) + 1
            raise InvalidInput(f"filter, character {place}: {said}: {rest!r:.40}")
        kind = match.lastgroup
        found.append(_Token(kind, match[kind], match.start(kind)))
        offset = match.end()
    return found


def _value_of(token: _Token, kind: Kind) -> Value | None:
    if token.kind == "text":
        text = _unquoted(token)
        return text if kind is Kind.TEXT else parse_time(text) if kind is Kind.TIME else None
    if token.kind == "number" and kind is not Kind.TEXT:
        number = float(token.text)
        bound = limits.INTEGER_MAX if kind is Kind.TIME else math.inf
        return number if math.isfinite(number) and abs(number) <= bound else None
    return None


def _unquoted(token: _Token) -> str:
    quote = token.text[0]
    inner = token.text[1:-1]
    return inner if quote == "`" else inner.replace(quote * 2, quote)


def _is_or(token: _Token) -> bool:
    return token.text.upper() == "OR" or token.text in ("(", ")")


def _wrong(token: _Token, said: str) -> InvalidInput:
    return InvalidInput(f"filter, character {token.offset + 1}: {said}")
