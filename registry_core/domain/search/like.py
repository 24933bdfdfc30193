"""LIKE patterns: `%` stands for any text, `_` for one character. No way to mean them literally."""

from __future__ import annotations


def is_like(text: str, pattern: str) -> bool:
    """Whether all of `text` is as `pattern` says. At most len(text) * len(pattern) steps: on a
    mismatch only the last `%` is tried again, since an earlier one could find nothing better."""
    at = seen = 0
    retry_pattern, retry_text = -1, 0
    while at < len(text):
        if seen < len(pattern) and pattern[seen] == "%":
            retry_pattern, retry_text = seen, at
            seen += 1
        elif seen < len(pattern) and pattern[seen] in ("_", text[at]):
            at, seen = at + 1, seen + 1
        elif retry_pattern >= 0:
            retry_text += 1
            at, seen = retry_text, retry_pattern + 1
        else:
            return False
    return all(char == "%" for char in pattern[seen:])


def literal_prefix(pattern: str) -> str:
    """What every text that is like `pattern` begins with."""
    ends = [index for index in (pattern.find("%"), pattern.find("_")) if index >= 0]
    return pattern[: min(ends, default=len(pattern))]
