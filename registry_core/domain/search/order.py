"""Orders: `metrics.auc DESC, name`. Up to ORDER_FIELDS_MAX of name, number, created, bytes and
metrics.KEY; a version without the metric does not appear in an order by it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.domain.search.fields import Field, make_field
from registry_core.domain.search.query_text import check_query_text
from registry_core.errors import InvalidInput

_ITEM = re.compile(
    r"\s*(?P<name>[A-Za-z_]+)(?:\.(?:(?P<key>[\w.-]+)|`(?P<ticked>[^`]+)`|\"(?P<quoted>[^\"]+)\"))?"
    r"(?:\s+(?P<way>ASC|DESC))?\s*",
    re.IGNORECASE,
)
_ORDERED = frozenset({"name", "number", "created", "bytes", "metrics"})


@dataclass(frozen=True, slots=True)
class Order:
    field: Field
    descending: bool


def parse_order(text: str) -> tuple[Order, ...]:
    """The fields to order by, most important first; none for an empty text."""
    check_query_text(text, "order_by")
    orders = [_parse(item) for item in text.split(",")] if text.strip() else []
    if len(orders) > limits.ORDER_FIELDS_MAX:
        raise InvalidInput(f"order_by has at most {limits.ORDER_FIELDS_MAX} fields")
    return tuple(orders)


def _parse(item: str) -> Order:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise InvalidInput(f"order_by: {item.strip()!r:.80} is not FIELD, FIELD ASC or FIELD DESC")
    try:
        field = make_field(match["name"], match["key"] or match["ticked"] or match["quoted"])
    except InvalidInput as error:
        raise InvalidInput(f"order_by: {error}") from error
    if field.name not in _ORDERED:
        known = ", ".join(sorted(_ORDERED))
        raise InvalidInput(f"order_by: {field} has no order: there are {known}")
    return Order(field, (match["way"] or "ASC").upper() == "DESC")
