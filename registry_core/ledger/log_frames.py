"""The stream of the log, `GET /v1/log?after=N`: frames of one kind byte, a length and a payload.

    kind (u8: 1 record, 2 checkpoint, 3 age) || length (u32 big-endian) || payload

Records are those beyond N, in order; the checkpoint after them covers them all. The stream stays
open and goes on as the log grows. An age (u32, milliseconds) says how long ago the sender knew that
this was all there is: 0 from an authority, more from a node that relays. It comes every few
seconds.
Format: docs/FORMATS.md, "Log stream".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from registry_core.domain import limits
from registry_core.errors import InvalidInput

RECORD, CHECKPOINT, AGE = 1, 2, 3
_KINDS = frozenset({RECORD, CHECKPOINT, AGE})
_AGE_MAX_MS = 2**32 - 1
_HEAD = struct.Struct(">BI")
_PAYLOAD_MAX = limits.ENTRY_BODY_MAX + 1024
CONTENT_TYPE = "application/vnd.cachd.log"


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    payload: bytes


def encode_frame(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, len(payload)) + payload


def encode_age(age_ms: int) -> bytes:
    return encode_frame(AGE, min(max(0, age_ms), _AGE_MAX_MS).to_bytes(4, "big"))


def decode_age(payload: bytes) -> int:
    if len(payload) != 4:
        raise InvalidInput("the log's stream is damaged: an age is not of 4 bytes")
    return int.from_bytes(payload, "big")


class FrameParser:
    """Bytes in, whole frames out. Bounded: a frame that claims too much is InvalidInput."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        self._pending += data
        while len(self._pending) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._pending)
            if kind not in _KINDS or length > _PAYLOAD_MAX:
                raise InvalidInput("the log's stream is damaged: an unknown or oversized frame")
            end = _HEAD.size + length
            if len(self._pending) < end:
                return
            payload = bytes(self._pending[_HEAD.size : end])
            del self._pending[:end]
            yield Frame(kind, payload)
