"""Values as bytes that sort as the values do, for index keys.

Text is escaped and ended as in FoundationDB's tuple layer: a key of text and what comes behind it
sorts by the text first, as long as what comes behind does not begin with 0xff (a sequence never
does). One encoding begins another only where the longer text goes on with NUL. Numbers are
big-endian with the sign turned round.
"""

from __future__ import annotations

import struct

_U64_MAX = (1 << 64) - 1
_SIGN = 1 << 63


def encode_text(text: str) -> bytes:
    """Sorts by code point."""
    return text.encode().replace(b"\0", b"\0\xff") + b"\0"


def decode_text(data: bytes) -> str:
    return data[:-1].replace(b"\0\xff", b"\0").decode()


def encode_float64(value: float) -> bytes:
    """8 bytes; any float64 but NaN. -0.0 sorts as 0.0."""
    bits = int.from_bytes(struct.pack(">d", value + 0.0), "big")
    return (bits ^ (_U64_MAX if bits & _SIGN else _SIGN)).to_bytes(8, "big")


def decode_float64(data: bytes) -> float:
    bits = int.from_bytes(data, "big")
    value: float = struct.unpack(
        ">d", (bits ^ (_SIGN if bits & _SIGN else _U64_MAX)).to_bytes(8, "big")
    )[0]
    return value


def encode_u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def decode_u64(data: bytes) -> int:
    return int.from_bytes(data, "big")
