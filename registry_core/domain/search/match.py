"""Whether a version answers a term.

A tag, metric or lineage that a version lacks answers nothing but IS NULL, `!=` and NOT IN included,
as NULL does in SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from registry_core.domain.search.fields import Field
from registry_core.domain.search.filter import Op, Term, Value
from registry_core.domain.search.like import is_like


@dataclass(frozen=True, slots=True)
class Candidate:
    """What terms are held against. `created` is Unix milliseconds, `stage` the stages at which the
    version is in force."""

    name: str
    number: int
    digest: str
    created: int
    publisher: str
    actor: str
    bytes: int
    notes: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    lineage: Mapping[str, str]
    stage: tuple[str, ...]
    formats: tuple[str, ...]


def value_of(candidate: Candidate, field: Field) -> Value | None:
    """Of a field with one value."""
    value = getattr(candidate, field.name)
    if field.key is not None:
        found: Value | None = value.get(field.key)
        return found
    return value if isinstance(value, str) else float(value)


def matches(candidate: Candidate, term: Term) -> bool:
    if term.field.is_member:
        members: tuple[str, ...] = getattr(candidate, term.field.name)
        negated = _POSITIVE.get(term.op)
        if negated is not None:
            return not any(_compare(negated, member, term.values) for member in members)
        return any(_compare(term.op, member, term.values) for member in members)
    value = value_of(candidate, term.field)
    if value is None:
        return term.op is Op.IS_NULL
    return _compare(term.op, value, term.values)


def _compare(op: Op, value: Value, others: tuple[Value, ...]) -> bool:
    return _COMPARE[op](value, others)


def _like(value: Value, others: tuple[Value, ...]) -> bool:
    return is_like(str(value), str(others[0]))


def _ilike(value: Value, others: tuple[Value, ...]) -> bool:
    return is_like(str(value).casefold(), str(others[0]).casefold())


_POSITIVE = {Op.NE: Op.EQ, Op.NOT_IN: Op.IN}
_COMPARE: dict[Op, Callable[[Value, tuple[Value, ...]], bool]] = {
    Op.EQ: lambda value, others: value == others[0],
    Op.NE: lambda value, others: value != others[0],
    Op.LT: lambda value, others: value < others[0],  # type: ignore[operator]  # the parser saw to it
    Op.LE: lambda value, others: value <= others[0],  # type: ignore[operator]  # as above
    Op.GT: lambda value, others: value > others[0],  # type: ignore[operator]  # as above
    Op.GE: lambda value, others: value >= others[0],  # type: ignore[operator]  # as above
    Op.LIKE: _like,
    Op.ILIKE: _ilike,
    Op.IN: lambda value, others: value in others,
    Op.NOT_IN: lambda value, others: value not in others,
    Op.IS_NULL: lambda value, others: False,
    Op.IS_NOT_NULL: lambda value, others: True,
}
assert _COMPARE.keys() == set(Op)
