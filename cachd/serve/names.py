"""Names of models and stages as this package takes them, and the tag that marks their slot.

The rule is the registry's (`registry_core.domain.identifiers`), repeated because inference
processes import the standard library only. A name that passes is safe as a path component.
"""

from __future__ import annotations

from cachd.serve.limits import NAME_CHARS_MAX

_ENDS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WITHIN = _ENDS | frozenset("._-")
RULE = f"use 1 to {NAME_CHARS_MAX} of a-z 0-9 . _ - beginning and ending with a letter or digit"


def is_name(text: object) -> bool:
    if not isinstance(text, str) or not 1 <= len(text) <= NAME_CHARS_MAX:
        return False
    return text[0] in _ENDS and text[-1] in _ENDS and _WITHIN.issuperset(text)


def name_tag(model: str, stage: str) -> int:
    """First 8 bytes of SHA-256("model@stage"), little-endian: tells one slot from another."""
    import hashlib  # imported when used: 3 ms that `import cachd.serve.client` need not pay

    return int.from_bytes(hashlib.sha256(f"{model}@{stage}".encode()).digest()[:8], "little")
