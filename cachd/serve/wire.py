"""Frames of the local socket: u32 big-endian length, then one JSON object of at most 64 KiB.

File descriptors ride with the first byte of a frame, which says how many under "fds". The kernel
may hand over descriptors together with the end of an earlier frame, so the count in the frame,
not the moment of arrival, says whose they are.
Invariant: a descriptor that was received is either handed to the caller with its frame or closed.
Works on blocking and non-blocking sockets; no locks, one reader per socket.
"""

from __future__ import annotations

import array
import os
import socket
import struct

from cachd.serve.limits import FDS_PER_FRAME_MAX, FRAME_BYTES_MAX, RECEIVE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_LENGTH = struct.Struct(">I")
_ANCILLARY_BYTES = socket.CMSG_SPACE(FDS_PER_FRAME_MAX * array.array("i").itemsize)


class WireError(Exception):
    """The other side does not speak our protocol: close this one connection."""


class FrameTooLong(WireError):
    """The object to send does not fit a frame."""


def encode_frame(message: dict[str, Any], fds: int = 0) -> bytes:
    """The bytes of a frame that will carry `fds` descriptors."""
    import json  # imported when used: 9 ms that `import cachd.serve.client` need not pay

    if fds:
        message = {**message, "fds": fds}
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > FRAME_BYTES_MAX:
        raise FrameTooLong(f"a message of {len(body)} bytes: a frame has at most {FRAME_BYTES_MAX}")
    return _LENGTH.pack(len(body)) + body


def send_some(sock: socket.socket, data: bytes | memoryview, fds: Sequence[int] = ()) -> int:
    """One sendmsg. The descriptors have gone as soon as one byte has."""
    if not fds:
        return sock.send(data, socket.MSG_NOSIGNAL)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    return sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def send_frame(sock: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one frame on a blocking socket (its timeout applies to each part)."""
    data = memoryview(encode_frame(message, len(fds)))
    sent = send_some(sock, data, fds)
    while sent < len(data):
        sent += sock.send(data[sent:], socket.MSG_NOSIGNAL)


class FrameReader:
    """Puts frames together from what arrives, in any pieces. `close()` when the socket goes."""

    __slots__ = ("_accepts_fds", "_data", "_fds")

    def __init__(self, *, accepts_fds: bool) -> None:
        self._accepts_fds = accepts_fds
        self._data = bytearray()
        self._fds: list[int] = []

    def receive(self, sock: socket.socket) -> bool:
        """Read once; False at the end of the stream. BlockingIOError and OSError pass through."""
        if not self._accepts_fds:
            data = sock.recv(RECEIVE_BYTES)  # plain recv: the kernel drops any descriptors
        else:
            data, ancillary, flags, _ = sock.recvmsg(
                RECEIVE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
            )
            self._keep(ancillary)
            if flags & socket.MSG_CTRUNC:
                raise WireError(f"more than {FDS_PER_FRAME_MAX} descriptors with one frame")
        self._data += data
        return bool(data)

    def frames(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """The complete frames so far, each with its descriptors, which the caller now owns."""
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if not 2 <= length <= FRAME_BYTES_MAX:
                raise WireError(f"a frame of {length} bytes: 2 to {FRAME_BYTES_MAX} are allowed")
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            message = _decode(bytes(self._data[_LENGTH.size : end]))
            del self._data[:end]
            yield message, self._claim(message.pop("fds", 0))

    def close(self) -> None:
        """Close the descriptors that no frame has claimed."""
        close_all(self._fds)

    def _claim(self, count: object) -> list[int]:
        if type(count) is not int or not 0 <= count <= len(self._fds):
            raise WireError(f"a frame claims {count!r:.20} descriptors, {len(self._fds)} came")
        claimed, self._fds = self._fds[:count], self._fds[count:]
        return claimed

    def _keep(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._fds += fds
        if len(self._fds) > FDS_PER_FRAME_MAX:
            close_all(self._fds)
            raise WireError("descriptors came that no frame claims")


def close_all(fds: list[int]) -> None:
    """Close and forget every descriptor of the list."""
    while fds:
        os.close(fds.pop())


def _decode(body: bytes) -> dict[str, Any]:
    import json

    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not JSON: {error}") from error
    if type(message) is not dict:
        raise WireError("a frame is not a JSON object")
    return message
