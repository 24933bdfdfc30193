"""The one encoding that is hashed and signed: RFC 8785 (JCS), restricted.

Restrictions that keep it equal in every implementation: object keys are ASCII, numbers are
integers within +-(2^53 - 1), text is valid Unicode without lone surrogates, depth is bounded.
`decode` accepts canonical bytes only, so a document has exactly one encoding and a digest of it
cannot be reached by another spelling.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from registry_core.domain import limits
from registry_core.errors import InvalidInput

# Of what `_check` lets pass, msgspec's sorted encoding is RFC 8785's: a test compares the two.
_encode = msgspec.json.Encoder(order="sorted").encode
_LONG_DIGITS = re.compile(rb"[0-9]{16}")  # as many as 2^53 has


def _no_float(text: str) -> Any:
    raise ValueError(f"{text!r:.40} is not an integer")


_DECODER = msgspec.json.Decoder(float_hook=_no_float)


def encode(value: Any) -> bytes:
    """Canonical bytes of `value` (dict, list, str, int, bool, None)."""
    _check(value, 0)
    return _encode(value)


def decode(data: bytes, *, bytes_max: int, what: str) -> Any:
    """The value whose canonical encoding is `data`, or InvalidInput naming `what`."""
    _bound(data, bytes_max, what)
    try:
        value = _DECODER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not valid: {error}") from error
    if not _is_plain(data):
        _check(value, 0)
    if _encode(value) != data:
        raise InvalidInput(f"{what} is not in canonical form (RFC 8785)")
    return value


def decode_any_json(data: bytes, *, bytes_max: int, what: str) -> Any:
    """Strict JSON: bounded, UTF-8, no duplicate keys, no floats. Any white space and key order."""
    _bound(data, bytes_max, what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_object,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
        _check(value, 0)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not valid: {error}") from error
    return value


def _bound(data: bytes, bytes_max: int, what: str) -> None:
    if len(data) > bytes_max:
        raise InvalidInput(f"{what} has {len(data)} bytes, more than the {bytes_max} allowed")


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _is_plain(data: bytes) -> bool:
    """Whether JSON without floats can be seen from outside to pass `_check`: no surrogates, no
    large integers, no depth. Most of what is signed or logged can, and needs no walk."""
    return (
        data.isascii()
        and b"\\u" not in data
        and data.count(b"{") + data.count(b"[") <= limits.JSON_DEPTH_MAX
        and not _LONG_DIGITS.search(data)
    )


def _check(value: Any, depth: int) -> None:
    """Refuse what has no canonical form. `depth` is the number of values that `value` lies in."""
    kind = type(value)
    if kind is dict or kind is list:
        if value and depth == limits.JSON_DEPTH_MAX:
            raise InvalidInput(f"nested deeper than {limits.JSON_DEPTH_MAX}")
        if kind is dict:
            _check_keys(value)
        for item in value.values() if kind is dict else value:
            inner = type(item)  # most of what there is needs no call
            if inner is str and item.isascii():
                continue
            if inner is int and -limits.INTEGER_MAX <= item <= limits.INTEGER_MAX:
                continue
            if item is not None:
                _check(item, depth + 1)
    elif kind is int:
        if not -limits.INTEGER_MAX <= value <= limits.INTEGER_MAX:
            raise InvalidInput(f"integer {value} is beyond 2^53 - 1")
    elif kind is str:
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidInput("text with a lone surrogate")
    elif value is not None and kind is not bool:
        raise InvalidInput(f"{kind.__name__} has no canonical form")


def _check_keys(value: dict[Any, Any]) -> None:
    try:
        if "".join(value).isascii():
            return
    except TypeError:
        pass
    odd = next(key for key in value if type(key) is not str or not key.isascii())
    raise InvalidInput(f"object key {odd!r:.60} is not ASCII text")
