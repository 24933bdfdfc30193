"""Reading the fields of a message: each is what its reader says, or the message is refused."""

from __future__ import annotations

from cachd.serve.limits import HANDLE_MAX, U64_MAX
from cachd.serve.names import RULE, is_name
from cachd.serve.wire import WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def integer(message: dict[str, Any], name: str, low: int = 0, high: int = U64_MAX) -> int:
    value = message.get(name)
    if type(value) is not int or not low <= value <= high:
        raise WireError(f"field {name}: {value!r:.40} is no integer from {low} to {high}")
    return value


def handle(message: dict[str, Any]) -> int:
    return integer(message, "handle", 1, HANDLE_MAX)


def text(message: dict[str, Any], name: str, chars_max: int) -> str:
    value = message.get(name)
    if type(value) is not str or len(value) > chars_max:
        raise WireError(f"field {name}: {value!r:.40} is no text of at most {chars_max} characters")
    return value


def name_of(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not is_name(value):
        raise WireError(f"{name} {value!r:.80} is not valid: {RULE}")
    return str(value)


def flag(message: dict[str, Any], name: str) -> bool:
    value = message.get(name, False)
    if type(value) is not bool:
        raise WireError(f"field {name}: {value!r:.40} is neither true nor false")
    return value


def seconds(message: dict[str, Any], name: str) -> float:
    value = message.get(name)
    if type(value) not in (int, float) or not 0 <= value <= U64_MAX:  # type: ignore[operator]  # a number by then
        raise WireError(f"field {name}: {value!r:.40} is no number of seconds")
    return float(value)  # type: ignore[arg-type]  # a number by the check above


def items(message: dict[str, Any], name: str, items_max: int) -> list[Any]:
    value = message.get(name, [])
    if type(value) is not list or len(value) > items_max:
        raise WireError(f"field {name} is no list of at most {items_max} items")
    return value


def pair(value: object, name: str) -> tuple[int, int]:
    """Two integers, not negative."""
    if type(value) is not list or len(value) != 2:
        raise WireError(f"field {name}: {value!r:.40} is no pair")
    first, second = ({name: one} for one in value)
    return integer(first, name), integer(second, name)


def record(value: object, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise WireError(f"field {name}: {value!r:.40} is no object")
    return value
