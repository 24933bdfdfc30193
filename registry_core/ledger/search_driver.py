"""What gives a search its candidates: a stretch of an index, of the versions, or of the stages.

A position is a key of the table that is walked, so a walk goes on exactly where a page ended,
whatever was added or deleted meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from registry_core.domain.identifiers import ModelName
from registry_core.domain.search.fields import Field
from registry_core.domain.search.filter import Op, Term
from registry_core.domain.search.like import literal_prefix
from registry_core.domain.search.order import Order
from registry_core.domain.search.sortable import encode_float64, encode_u64
from registry_core.ledger.index import (
    CREATED,
    FORMAT,
    INDEXED_TEXT_MAX,
    LINEAGE,
    METRIC,
    TAG,
    of_field,
    text_value,
)
from registry_core.ledger.records import StageRecord, decode, version_key
from registry_core.ledger.store import Reader, Table

_KIND = {"tags": TAG, "lineage": LINEAGE, "metrics": METRIC}
_BEFORE_ALL, _BEYOND_ALL = b"", b"\xff" * 9


@dataclass(frozen=True, slots=True)
class Driver:
    """Records of `table` below `prefix` whose rest lies within `low` and `high`, one way or the
    other. `in_order`: they come in the order that was asked for."""

    table: Table
    prefix: bytes
    low: bytes = _BEFORE_ALL
    high: bytes = _BEYOND_ALL
    reverse: bool = False
    in_order: bool = True
    suffix: bytes = b""
    """Only keys that end so."""

    def walk(self, txn: Reader, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """(position, version_key), from beyond `after` on."""
        begin = self.prefix + (self.high if self.reverse else self.low)
        start = after if after is not None else begin if begin != self.prefix else None
        for key, value in txn.scan(self.table, self.prefix, after=start, reverse=self.reverse):
            rest = key[len(self.prefix) :]
            if (rest < self.low) if self.reverse else (rest > self.high):
                return
            if key.endswith(self.suffix):
                yield key, self._version(key, value)

    def _version(self, key: bytes, value: bytes) -> bytes:
        if self.table is Table.INDEX:
            return value
        if self.table is Table.VERSIONS:
            return key
        stage = decode(StageRecord, value)
        return version_key(ModelName(stage.model), stage.in_force.number)


def choose_driver(terms: Sequence[Term], orders: Sequence[Order]) -> Driver:
    equal = next((found for term in terms if (found := _equal(term)) is not None), None)
    if not orders:
        return equal or next(
            (found for term in terms if (found := _range(term, terms)) is not None), _newest(terms)
        )
    first = orders[0]
    if len(orders) == 1 and first.field.name == "metrics":
        return _metric(first.field, terms, descending=first.descending)
    if len(orders) == 1 and first.field.name == "created" and equal is None:
        return _created(terms, descending=first.descending)
    if _is_by_name(orders) and equal is None:
        return Driver(Table.VERSIONS, b"", reverse=first.descending)
    by_metric = next((order.field for order in orders if order.field.name == "metrics"), None)
    ways = equal or (_metric(by_metric, terms) if by_metric else _created(terms))
    return replace(ways, in_order=False)


def _equal(term: Term) -> Driver | None:
    """The stretch of the index, or of the versions, that equality with a value names."""
    if term.op is not Op.EQ:
        return None
    value, field = term.values[0], term.field
    if field.name == "name":
        prefix = str(value).encode() + b"\0"
        return Driver(Table.VERSIONS, prefix, reverse=True)
    if field.name == "formats":
        return Driver(Table.INDEX, of_field(FORMAT, str(value)), reverse=True)
    if field.name == "stage":
        return Driver(Table.STAGES, b"", suffix=b"\0" + str(value).encode())
    if field.name in ("tags", "lineage"):
        prefix = of_field(_KIND[field.name], field.key or "") + text_value(str(value))
        return Driver(Table.INDEX, prefix, reverse=True)
    return None


def _range(term: Term, terms: Sequence[Term]) -> Driver | None:
    """A stretch that at least holds what the term asks for."""
    if term.field.name == "metrics" and term.op is not Op.IS_NULL:
        return _metric(term.field, terms, descending=True)
    if term.field.name == "created":
        return _created(terms, descending=True)
    if term.op is Op.LIKE and term.field.name in ("tags", "lineage"):
        begins = literal_prefix(str(term.values[0])).encode()[: INDEXED_TEXT_MAX - 1]
        prefix = of_field(_KIND[term.field.name], term.field.key or "")
        if b"\0" not in begins:
            return Driver(Table.INDEX, prefix + begins)
    if term.op is Op.LIKE and term.field.name == "name":
        return Driver(Table.VERSIONS, literal_prefix(str(term.values[0])).encode())
    return None


def _newest(terms: Sequence[Term]) -> Driver:
    return _created(terms, descending=True)


def _metric(field: Field, terms: Sequence[Term], *, descending: bool = False) -> Driver:
    low, high = _bounds(field, terms)
    return Driver(
        Table.INDEX,
        of_field(METRIC, field.key or ""),
        _BEFORE_ALL if low is None else encode_float64(low),
        _BEYOND_ALL if high is None else encode_float64(high) + _BEYOND_ALL,
        reverse=descending,
    )


def _created(terms: Sequence[Term], *, descending: bool = False) -> Driver:
    low, high = _bounds(Field("created"), terms)
    return Driver(
        Table.INDEX,
        CREATED,
        _BEFORE_ALL if low is None or low < 0 else encode_u64(int(low)),
        _BEYOND_ALL if high is None else encode_u64(max(int(high), 0)) + _BEYOND_ALL,
        reverse=descending,
    )


def _bounds(field: Field, terms: Sequence[Term]) -> tuple[float | None, float | None]:
    """The least and the greatest value that the terms leave open; matching is exact anyway."""
    low: float | None = None
    high: float | None = None
    for term in terms:
        if term.field != field or not term.values:
            continue
        value = float(term.values[0])
        if term.op in (Op.GT, Op.GE, Op.EQ):
            low = value if low is None else max(low, value)
        if term.op in (Op.LT, Op.LE, Op.EQ):
            high = value if high is None else min(high, value)
    return low, high


def _is_by_name(orders: Sequence[Order]) -> bool:
    """Name, then number, both the same way: the order in which versions lie."""
    names = [order.field.name for order in orders]
    return names in (["name"], ["name", "number"]) and len({o.descending for o in orders}) == 1
