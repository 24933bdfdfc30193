"""Sizes and rates as they are typed."""

from __future__ import annotations

import argparse


def size(text: str) -> int:
    """Bytes: 64MiB."""
    for unit, scale in (("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)):
        if text.endswith(unit) and text.removesuffix(unit).isdigit():
            return int(text.removesuffix(unit)) * scale
    raise argparse.ArgumentTypeError(f"{text!r} is not a size like 64MiB")


def bits(text: str) -> float:
    """Bits a second: 100mbit."""
    for unit, scale in (("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * scale
    raise SystemExit(f"{text!r} is not a rate like 100mbit")
