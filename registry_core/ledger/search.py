"""Searching versions: a filter, an order, a page at a time, over the index.

Something drives: an index gives candidates in its order, each is read and held against all terms.
The first field of the order decides which, else the first term that an index answers by equality,
else a range; without either, all versions, newest first. Where the order asked for is not the
driver's, the matches are sorted, SEARCH_SORTED_MAX at most.

A page ends when it is full or when SEARCH_STEPS_MAX candidates were looked at (large ones count
more), so that no request can hold up the others: it may be short, or empty, and still have a next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from registry_core.domain import limits
from registry_core.domain.identifiers import ModelName
from registry_core.domain.metadata import metric_value
from registry_core.domain.search.fields import Field
from registry_core.domain.search.filter import Term, parse_filter
from registry_core.domain.search.match import Candidate, matches, value_of
from registry_core.domain.search.order import Order, parse_order
from registry_core.domain.search.page_token import decode_token, encode_token
from registry_core.errors import InvalidInput
from registry_core.ledger import queries
from registry_core.ledger.records import VersionRecord, decode
from registry_core.ledger.search_driver import Driver, choose_driver
from registry_core.ledger.store import Reader, Table


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for, parsed. `token` is where the page before ended."""

    terms: tuple[Term, ...]
    orders: tuple[Order, ...]
    page_size: int
    text: str
    token: str

    @classmethod
    def parse(cls, filter_text: str, order_by: str, page_size: int, page_token: str) -> Query:
        """InvalidInput names what is wrong."""
        if not 1 <= page_size <= limits.PAGE_SIZE_MAX:
            raise InvalidInput(f"page_size is 1 to {limits.PAGE_SIZE_MAX}")
        terms, orders = parse_filter(filter_text), parse_order(order_by)
        return cls(terms, orders, page_size, f"{filter_text}\0{order_by}", page_token)


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the token of the page after; empty when this is the last."""

    versions: list[VersionRecord]
    next: str


def search(txn: Reader, query: Query) -> Page:
    driver = choose_driver(query.terms, query.orders)
    if driver.in_order:
        return _in_order(txn, query, driver)
    return _sorted(txn, query, driver)


def _in_order(txn: Reader, query: Query, driver: Driver) -> Page:
    after = decode_token(query.token, query.text) if query.token else None
    look = _Look(txn, query.terms)
    found: list[VersionRecord] = []
    last = b""
    for position, key in driver.walk(txn, after):
        if len(found) == query.page_size or look.steps >= limits.SEARCH_STEPS_MAX:
            return Page(found, encode_token(query.text, last))
        last = position
        version = look.at(key)
        if version is not None:
            found.append(version)
    return Page(found, "")


def _sorted(txn: Reader, query: Query, driver: Driver) -> Page:
    """Positions are places in the sorted whole, which is made anew for each page."""
    start = int.from_bytes(decode_token(query.token, query.text), "big") if query.token else 0
    look = _Look(txn, query.terms)
    found = []
    for _, key in driver.walk(txn, None):
        version = look.at(key)
        if version is not None and all(_has(version, order, look.stages) for order in query.orders):
            found.append(version)
        if len(found) > limits.SEARCH_SORTED_MAX or look.steps > limits.SEARCH_SORTED_STEPS_MAX:
            raise InvalidInput(
                f"more than {limits.SEARCH_SORTED_MAX} versions match, or there are too many to "
                "look through for the order asked for: narrow the filter by something equal (a "
                "tag, a name), or order by created or a metric"
            )
    for order in reversed(query.orders):
        field = order.field
        found.sort(key=partial(_value, look.stages, field), reverse=order.descending)
    end = start + query.page_size
    following = encode_token(query.text, end.to_bytes(8, "big")) if end < len(found) else ""
    return Page(found[start:end], following)


def _value(stages: _Stages, field: Field, version: VersionRecord) -> Any:
    return value_of(stages.candidate(version), field)


def _has(version: VersionRecord, order: Order, stages: _Stages) -> bool:
    return value_of(stages.candidate(version), order.field) is not None


class _Look:
    """Holds candidates against all terms, and counts what that took."""

    def __init__(self, txn: Reader, terms: tuple[Term, ...]) -> None:
        self._txn = txn
        self._terms = terms
        self.stages = _Stages(txn)
        self.steps = 0

    def at(self, key: bytes) -> VersionRecord | None:
        """The version, if it is one that is asked for."""
        data = self._txn.get(Table.VERSIONS, key) or b""
        self.steps += 1 + len(data) // limits.SEARCH_STEP_BYTES
        version = decode(VersionRecord, data) if data else None
        if version is None or version.deleted_ms:
            return None
        candidate = self.stages.candidate(version)
        return version if all(matches(candidate, term) for term in self._terms) else None


class _Stages:
    """Which stages a version is in force at; each model's are read once, when they are needed."""

    def __init__(self, txn: Reader) -> None:
        self._txn = txn
        self._of: dict[str, dict[int, tuple[str, ...]]] = {}

    def candidate(self, version: VersionRecord) -> Candidate:
        return Candidate(
            name=version.model,
            number=version.number,
            digest=version.digest,
            created=version.created_ms,
            publisher=version.publisher,
            actor=version.actor,
            bytes=version.bytes,
            notes=version.notes,
            tags=version.tags,
            metrics={key: metric_value(text) for key, text in version.metrics.items()},
            lineage=version.lineage,
            stage=self._in_force(version),
            formats=tuple(version.formats),
        )

    def _in_force(self, version: VersionRecord) -> tuple[str, ...]:
        if version.model not in self._of:
            found: dict[int, tuple[str, ...]] = {}
            for stage in queries.stages(self._txn, ModelName(version.model)):
                number = stage.in_force.number
                found[number] = (*found.get(number, ()), stage.stage)
            self._of[version.model] = found
        return self._of[version.model].get(version.number, ())
