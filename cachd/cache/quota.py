"""How much a cache may hold, as an operator says it: `200GiB`, or `80%` of its filesystem."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry_core.errors import InvalidInput

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([kKMGT]i?)?B?")
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class Quota:
    """So many bytes, or a share of the filesystem, which may grow."""

    size: int | None = None
    share: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Quota:
        if text.endswith("%") and text[:-1].replace(".", "", 1).isdigit():
            share = float(text[:-1]) / 100
            if 0 < share <= 1:
                return cls(share=share)
        found = _SIZE.fullmatch(text)
        size = int(float(found[1]) * _unit(found[2])) if found else 0
        if size <= 0:
            raise InvalidInput(
                f"{text!r:.50} is no size of a cache: write for example 200GiB, or 80%"
            )
        return cls(size)

    def of(self, filesystem_bytes: int) -> int:
        """In bytes, on a filesystem of that size."""
        return self.size if self.size is not None else int(filesystem_bytes * self.share)


def _unit(text: str | None) -> int:
    if not text:
        return 1
    return int((1024 if text.endswith("i") else 1000) ** _POWERS[text[0]])
