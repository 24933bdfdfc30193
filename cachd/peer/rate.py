"""Rates as they are typed and as the field writes them: bits a second, `800mbit`, `2gbit`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry_core.errors import InvalidInput

_TEXT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([kmgt])bit(?:/s)?", re.IGNORECASE)
_SCALES = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True, order=True)
class Rate:
    """More than 0. Decimal units, as tc(8) and link speeds have them."""

    bits_per_s: int

    @classmethod
    def parse(cls, text: str) -> Rate:
        found = _TEXT.fullmatch(text)
        bits = round(float(found[1]) * _SCALES[found[2].lower()]) if found else 0
        if bits <= 0:
            raise InvalidInput(f"{text!r:.50} is not a rate: write for example 800mbit, or 2gbit")
        return cls(bits)

    @property
    def bytes_per_s(self) -> float:
        return self.bits_per_s / 8

    def __str__(self) -> str:
        unit = next((unit for unit in "tgm" if self.bits_per_s >= _SCALES[unit]), "k")
        return f"{self.bits_per_s / _SCALES[unit]:g}{unit}bit"
