"""What people say about a model or a version, and how a change of it is written down. Pure.

A change is a map from field to new value, null to take the field away: `{"tags.team": "fraud",
"metrics.auc": "0.93", "notes": "…"}`. Fields with a dot are members of a map. Metrics are decimal
text, the shortest that gives the same float64 (`repr` of Python and JavaScript), because the
ledger's canonical encoding has no floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from registry_core.domain import canonical, limits
from registry_core.errors import InvalidInput

Change = Mapping[str, Any]
Check = Callable[[Any, str], Any]


def parse_metric(value: object, what: str = "metric") -> str:
    """The canonical text of a finite number (int, float, or its decimal text)."""
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise InvalidInput(f"{what}: {value!r:.60} is not a finite number")
    return repr(number + 0.0)  # -0.0 and 0.0 are one number


def metric_value(text: str) -> float:
    return float(text)


def _text(chars_max: int) -> Check:
    def check(value: Any, what: str) -> str:
        if not isinstance(value, str) or len(value) > chars_max or "\0" in value:
            raise InvalidInput(f"{what} is not text of at most {chars_max} characters without NUL")
        return value

    return check


def _metric(value: Any, what: str) -> str:
    if not isinstance(value, str) or parse_metric(value, what) != value:
        raise InvalidInput(f"{what}: {value!r:.60} is not the shortest decimal text of a number")
    return value


def _schema(value: Any, what: str) -> Any:
    if not isinstance(value, dict) or not value.keys() <= {"inputs", "outputs"}:
        raise InvalidInput(f"{what} is not an object of inputs and outputs")
    if len(canonical.encode(value)) > limits.SCHEMA_BYTES_MAX:
        raise InvalidInput(f"{what} is larger than {limits.SCHEMA_BYTES_MAX} bytes")
    return value


def _count(value: Any, what: str) -> int:
    if type(value) is not int or not 1 <= value <= limits.INTEGER_MAX:
        raise InvalidInput(f"{what} is not a positive whole number")
    return value


VERSION_FIELDS: dict[str, Check] = {
    "notes": _text(limits.NOTES_CHARS_MAX),
    "schema": _schema,
    "tags.": _text(limits.TAG_VALUE_CHARS_MAX),
    "metrics.": _metric,
    "lineage.": _text(limits.LINEAGE_CHARS_MAX),
}
MODEL_FIELDS: dict[str, Check] = {
    "notes": _text(limits.NOTES_CHARS_MAX),
    "tags.": _text(limits.TAG_VALUE_CHARS_MAX),
    "retention.keep_newest": _count,
    "retention.keep_days": _count,
}
LINEAGE_KEYS = frozenset({"dataset", "parent", "git_commit", "run_url"})
"""Well-known keys of lineage; `dataset.NAME` names one of several data sets. Others are allowed."""


def changed(
    document: Mapping[str, Any], change: Change, fields: Mapping[str, Check]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the changed fields were (null where they were not), and the document after `change`.

    `document` is a record as builtins; fields that are not in `fields` cannot be changed."""
    if not isinstance(change, Mapping) or not 1 <= len(change) <= limits.CHANGED_FIELDS_MAX:
        raise InvalidInput(f"a change names 1 to {limits.CHANGED_FIELDS_MAX} fields")
    before: dict[str, Any] = {}
    after = {
        name: dict(value) if isinstance(value, dict) else value for name, value in document.items()
    }
    for field, value in change.items():
        check = _check_of(field, fields)
        group, dot, key = field.partition(".")
        place, name = (after.setdefault(group, {}), key) if dot else (after, group)
        before[field] = place.get(name)
        if value is not None:
            place[name] = check(value, field)
        elif dot:
            place.pop(name, None)
        else:
            place[name] = "" if isinstance(place.get(name), str) else None
        if dot and len(place) > limits.TAGS_MAX:
            raise InvalidInput(f"{group} would have more than {limits.TAGS_MAX} entries")
    return before, after


def _check_of(field: str, fields: Mapping[str, Check]) -> Check:
    if field in fields:
        return fields[field]
    group, dot, key = field.partition(".")
    check = fields.get(group + dot) if dot else None
    if check is None:
        known = ", ".join(name + "KEY" if name.endswith(".") else name for name in fields)
        raise InvalidInput(f"field {field!r:.150} cannot be changed: known are {known}")
    if not 1 <= len(key) <= limits.TAG_KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise InvalidInput(
            f"field {field!r:.150}: a key has 1 to {limits.TAG_KEY_CHARS_MAX} printable ASCII "
            "characters"
        )
    return check
