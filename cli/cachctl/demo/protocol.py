"""The few bytes between a lane and a worker: a question, and an answer that says who gave it.

question: u32 length, u32 microseconds to wait before it is answered, then int32 token ids
answer:   u32 length, then Head, then the float32 vector; empty if the worker failed to answer

The wait stands for the window of a batching server: it paces the load while a request is in flight
all the time.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import numpy as np

from cachctl.demo.tensors import Array

_LENGTH = struct.Struct("<I")
_WAIT = struct.Struct("<I")
_HEAD = struct.Struct("<QQQQ32s")
_FRAME_MAX = 1 << 20


class MalformedFrame(ValueError):
    """A frame that is no question or no answer. Asking again cannot help."""


@dataclass(frozen=True, slots=True)
class Question:
    """Token ids, and how long the worker waits before it looks which version is in force."""

    wait_s: float
    ids: Array

    def encode(self) -> bytes:
        return _WAIT.pack(round(self.wait_s * 1e6)) + self.ids.tobytes()

    @classmethod
    def decode(cls, frame: bytes) -> Question:
        try:
            (wait_us,) = _WAIT.unpack_from(frame)
            return cls(wait_us / 1e6, np.frombuffer(frame, dtype=np.int32, offset=_WAIT.size))
        except (struct.error, ValueError) as error:
            raise MalformedFrame(f"not a question: {error}") from error


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
        if not frame:
            raise MalformedFrame("nothing, since it failed: its log says why")
        try:
            number, generation, choice, answered_ns, digest = _HEAD.unpack_from(frame)
            vector = np.frombuffer(frame, dtype=np.float32, offset=_HEAD.size)
        except (struct.error, ValueError) as error:
            raise MalformedFrame(f"what is not an answer: {error}") from error
        return cls(number, generation, choice, answered_ns, digest, vector)


def send(sock: socket.socket, payload: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(payload)) + payload)


def receive(sock: socket.socket) -> bytes:
    """One frame; ConnectionError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    if length > _FRAME_MAX:
        raise MalformedFrame(f"a frame of {length} bytes; at most {_FRAME_MAX} are read")
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the other side is gone")
        data += piece
    return bytes(data)
