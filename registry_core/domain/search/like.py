"""LIKE patterns: `%` stands for any text, `_` for one character. No way to mean them literally.

Bit-parallel (Baeza-Yates and Gonnet, "A new approach to text searching", 1992): one integer holds
all places of the pattern that the text read so far can have come to, so each character of the text
is looked at once, whatever the pattern.
"""

from __future__ import annotations

from functools import lru_cache

from registry_core.domain import limits

_Pattern = tuple[dict[str, int], int, int, int]


def is_like(text: str, pattern: str) -> bool:
    """Whether all of `text` is as `pattern` says, in at most len(text) steps."""
    steps, any_step, waits, end = _compiled(pattern)
    done = waits & end
    places = 1
    if places & done:
        return True
    for char in text:
        places = (places & steps.get(char, any_step)) << 1 | places & waits
        if not places:
            return False
        if places & done:
            return True
    return bool(places & end)


@lru_cache(maxsize=limits.FILTER_TERMS_MAX)  # one filter's patterns, each held against thousands
def _compiled(pattern: str) -> _Pattern:
    """Bit n is the place behind n characters of the pattern, `%` not counted: from which places a
    character leads on (`any_step`: one that the pattern does not name), which a `%` allows to wait
    at, and the last one."""
    named: dict[str, int] = {}
    any_step = waits = 0
    place = 1
    for char in pattern:
        if char == "%":
            waits |= place
            continue
        if char == "_":
            any_step |= place
        else:
            named[char] = named.get(char, 0) | place
        place <<= 1
    return {char: places | any_step for char, places in named.items()}, any_step, waits, place


def literal_prefix(pattern: str) -> str:
    """What every text that is like `pattern` begins with."""
    ends = [index for index in (pattern.find("%"), pattern.find("_")) if index >= 0]
    return pattern[: min(ends, default=len(pattern))]
