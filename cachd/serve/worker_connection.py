"""One worker's socket on the host's event loop: never blocks, never keeps more than its bounds.

Frames go out at once if the socket takes them, else wait in order in a bounded queue; a worker
that does not read loses its connection, and with it its leases. Descriptors that wait are
duplicates, closed when they have gone. After `close` nothing is called back any more.
Owned by the event loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cachd.serve.limits import SEND_QUEUE_BYTES_MAX, SEND_QUEUE_FRAMES_MAX
from cachd.serve.wire import FrameReader, WireError, close_all, encode_frame, send_some

if TYPE_CHECKING:
    from cachd.serve.stage_serving import StageServing

_CREDENTIALS = struct.Struct("iII")


class WorkerConnection:
    """`leases`: what this worker was sent and has not released -> loading, late, ready, failed."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_frame: Callable[[WorkerConnection, dict[str, Any]], None],
        on_gone: Callable[[WorkerConnection], None],
        deadline_s: float,
    ) -> None:
        self.deadline_s = deadline_s  # to send `attach`
        self.stage: StageServing | None = None  # once attached
        self.leases: dict[int, str] = {}
        self.errors: dict[int, str] = {}
        self.told_s: dict[int, float] = {}  # since when it is at it, by the host's clock
        self.took_s: dict[int, float] = {}  # from then until it was ready
        self.leaving = False  # it closes on purpose
        self.flip = 0  # the last that it has switched to
        self.pid, self.uid = _peer(sock)
        self._sock = sock
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._reader = FrameReader(accepts_fds=False)
        self._queue: deque[tuple[memoryview, list[int]]] = deque()
        self._queued_bytes = 0
        self._open = True
        self._doomed = False  # to be lost in the loop's next round
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def unlease(self, handle: int) -> None:
        for of_handle in (self.leases, self.errors, self.told_s, self.took_s):
            of_handle.pop(handle, None)

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Queue a frame. The descriptors stay the caller's."""
        if not self._open or self._doomed:
            return
        data = memoryview(encode_frame(message, len(fds)))
        if not self._queue:
            data, fds = self._send_now(data, fds)
        if not data:
            return
        try:
            self._queue.append((data, [os.dup(fd) for fd in fds]))
        except OSError:  # out of descriptors
            self._lose_soon()
            return
        self._queued_bytes += len(data)
        if self._queued_bytes > SEND_QUEUE_BYTES_MAX or len(self._queue) > SEND_QUEUE_FRAMES_MAX:
            self._lose_soon()
        elif len(self._queue) == 1:
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def lose(self) -> None:
        """Close, and tell the host, once, that the worker is gone."""
        if self._open:
            self.close()
            self._on_gone(self)

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._reader.close()
        while self._queue:
            close_all(self._queue.popleft()[1])

    def _lose_soon(self) -> None:
        """Not at once: the host may be going through its workers just now."""
        if not self._doomed:
            self._doomed = True
            self._loop.call_soon(self.lose)

    def _send_now(self, data: memoryview, fds: Sequence[int]) -> tuple[memoryview, Sequence[int]]:
        """What the socket did not take."""
        try:
            sent = send_some(self._sock, data, fds)
        except BlockingIOError:
            return data, fds
        except OSError:
            self._lose_soon()
            return data[:0], ()
        return data[sent:], ()

    def _writable(self) -> None:
        data, fds = self._queue[0]
        rest, unsent = self._send_now(data, fds)
        self._queued_bytes -= len(data) - len(rest)
        if not unsent:
            close_all(fds)
        if rest:
            self._queue[0] = (rest, fds)
        else:
            self._queue.popleft()
        if not self._queue and self._open:
            self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        try:
            alive = self._reader.receive(self._sock)
            for frame, _ in self._reader.frames():
                self._on_frame(self, frame)
                if not self._open:
                    return
        except BlockingIOError:
            return
        except (OSError, WireError):
            alive = False
        if not alive:
            self.lose()


def _peer(sock: socket.socket) -> tuple[int, int]:
    """Process and effective user that connected, as the kernel noted them then."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return int(pid), int(uid)
