"""A split: so many requests of a thousand are answered by the move's version, the others by the
previous one. Pure.

The share is what people write in percent, kept in per mille so that every document holds integers.
"""

from __future__ import annotations

import re

from registry_core.errors import InvalidInput

WHOLE = 1000
_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?%?")


def parse_percent(text: object) -> int:
    """Per mille of `5`, `0.5`, `12.5%`: 0 to 100 in steps of 0.1."""
    match = _PERCENT.fullmatch(str(text)) if isinstance(text, str | int | float) else None
    per_mille = int(match[1]) * 10 + int(match[2] or 0) if match else -1
    if not 0 <= per_mille <= WHOLE:
        raise InvalidInput(
            f"{text!r:.40} is no percentage of requests: use 0 to 100 in steps of 0.1, such as 5 "
            "or 0.5"
        )
    return per_mille


def parse_move_split(text: object) -> int:
    """Per mille of the split that a move begins with; 0 for None, which moves all requests."""
    return 0 if text is None else require_part(parse_percent(text))


def require_part(per_mille: int) -> int:
    """The same, if it leaves requests to both versions."""
    if not 0 < per_mille < WHOLE:
        raise InvalidInput(
            f"a move with a split of {percent_text(per_mille)}: give 0.1 to 99.9 %, or no split to "
            "move all requests"
        )
    return per_mille


def percent_text(per_mille: int) -> str:
    """`5%`, `0.5%`."""
    whole, tenth = divmod(per_mille, 10)
    return f"{whole}.{tenth}%" if tenth else f"{whole}%"
