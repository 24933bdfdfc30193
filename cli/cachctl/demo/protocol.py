"""The few bytes between a lane and a worker: a question, and an answer that says who gave it.

question: u32 length, then int32 token ids
answer:   u32 length, then Head, then the float32 vector
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np

from cachctl.demo.tensors import Array

_LENGTH = struct.Struct("<I")
_HEAD = struct.Struct("<QQQQ32s")
_FRAME_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Which version claims to answer, under which guard, when (CLOCK_MONOTONIC), and what."""

    number: int
    generation: int
    choice: int
    answered_ns: int
    digest: bytes
    vector: Array

    def encode(self) -> bytes:
        return (
            _HEAD.pack(self.number, self.generation, self.choice, self.answered_ns, self.digest)
            + self.vector.tobytes()
        )

    @classmethod
    def decode(cls, frame: bytes) -> Answer:
        number, generation, choice, answered_ns, digest = _HEAD.unpack_from(frame)
        vector = np.frombuffer(frame, dtype=np.float32, offset=_HEAD.size)
        return cls(number, generation, choice, answered_ns, digest, vector)


def send(sock: socket.socket, payload: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(payload)) + payload)


def receive(sock: socket.socket) -> bytes:
    """One frame; ConnectionError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    if length > _FRAME_MAX:
        raise ConnectionError("an oversized frame")
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the other side is gone")
        data += piece
    return bytes(data)
