"""Names of models and stages as this package takes them, and the tag that marks their slot.

The rule is the registry's (`registry_core.domain.identifiers`), repeated because inference
processes import the standard library only. A name that passes is safe as a path component.
"""

from __future__ import annotations

import re

from cachd.serve.limits import NAME_CHARS_MAX

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
RULE = f"use 1 to {NAME_CHARS_MAX} of a-z 0-9 . _ - beginning and ending with a letter or digit"


def is_name(text: object) -> bool:
    return isinstance(text, str) and len(text) <= NAME_CHARS_MAX and bool(_NAME.fullmatch(text))


def name_tag(model: str, stage: str) -> int:
    """First 8 bytes of SHA-256("model@stage"), little-endian: tells one slot from another."""
    import hashlib  # imported when used: 3 ms that `import cachd.serve.client` need not pay

    return int.from_bytes(hashlib.sha256(f"{model}@{stage}".encode()).digest()[:8], "little")
