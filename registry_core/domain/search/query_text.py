"""What a text of a query must be before it is parsed: bounded, and Unicode all through."""

from __future__ import annotations

from registry_core.domain import limits
from registry_core.errors import InvalidInput


def check_query_text(text: str, what: str) -> None:
    """InvalidInput naming `what` if it is too long, or holds half of a surrogate pair: that has no
    UTF-8, so neither an index key nor a page token could be made of it."""
    if len(text) > limits.FILTER_CHARS_MAX:
        raise InvalidInput(f"{what} has at most {limits.FILTER_CHARS_MAX} characters")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what}, character {error.start + 1}: half of a surrogate pair is not text"
        ) from error
