"""Where a scan begins and ends."""

from __future__ import annotations


def successor(prefix: bytes) -> bytes | None:
    """The smallest key above all keys that begin with `prefix`; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def bounds(prefix: bytes, after: bytes | None, *, reverse: bool) -> tuple[bytes, bytes | None]:
    """(low, high): keys with `prefix` beyond `after` are those with low <= key < high."""
    low, high = prefix, successor(prefix)
    if after is not None and reverse:
        high = after if high is None else min(high, after)
    elif after is not None:
        low = max(low, after + b"\0")
    return low, high
