"""How much of something there may be, as an operator says it: `200GiB`, or `80%` of all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry_core.errors import InvalidInput

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([kKMGT]i?)?B?")
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Quota:
    """So many bytes, or a share of the whole, which may grow."""

    size: int | None = None
    share: float = 1.0

    @classmethod
    def parse(cls, text: str, what: str = "a cache", example: str = "200GiB") -> Quota:
        if text.endswith("%") and text[:-1].replace(".", "", 1).isdigit():
            share = float(text[:-1]) / 100
            if 0 < share <= 1:
                return cls(share=share)
        found = _SIZE.fullmatch(text)
        size = int(float(found[1]) * _unit(found[2])) if found else 0
        if size <= 0:
            raise InvalidInput(
                f"{text!r:.50} is no size of {what}: write for example {example}, or 80%"
            )
        return cls(size)

    def of(self, whole: int) -> int:
        """In bytes, where there are so many."""
        return self.size if self.size is not None else int(whole * self.share)


def _unit(text: str | None) -> int:
    if not text:
        return 1
    return int((1024 if text.endswith("i") else 1000) ** _POWERS[text[0]])
