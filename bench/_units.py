"""Sizes and rates as they are typed."""

from __future__ import annotations

import argparse

from cachd.peer.rate import Rate
from registry_core.errors import InvalidInput


def size(text: str) -> int:
    """Bytes: 64MiB."""
    for unit, scale in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)):
        if text.endswith(unit) and text.removesuffix(unit).isdigit():
            return int(text.removesuffix(unit)) * scale
    raise argparse.ArgumentTypeError(f"{text!r} is not a size like 64MiB")


def bits(text: str) -> float:
    """Bits a second: 100mbit."""
    try:
        return float(Rate.parse(text).bits_per_s)
    except InvalidInput as error:
        raise SystemExit(str(error)) from error
