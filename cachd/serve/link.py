"""The thread that talks to the daemon: connects, announces what is held, reads, sends, reconnects.

It runs for the life of the attachment and tries for ever: a daemon that is away is no error to a
worker. The socket is the lease: while it lives, what this process holds stays resident.
Only this thread touches the socket, except in a forked child, which closes its copy.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time

from cachd.serve import from_daemon
from cachd.serve.from_worker import PROTOCOL, Attach
from cachd.serve.limits import (
    CLIENT_CHARS_MAX,
    RECONNECT_FIRST_S,
    RECONNECT_MAX_S,
    SEND_TIMEOUT_S,
    TELL_EVERY_S,
)
from cachd.serve.wire import FrameReader, WireError, close_all, send_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cachd.serve.leases import LeaseBook


class Link:
    """`on_message` gets every message with its descriptors, which it owns from then on."""

    def __init__(
        self,
        path: str,
        model: str,
        stage: str,
        book: LeaseBook,
        *,
        on_message: Callable[[from_daemon.Message, list[int]], None],
    ) -> None:
        self.path = path
        self.trouble = ""  # why there is no connection now, for people
        self._model = model
        self._stage = stage
        self._book = book
        self._on_message = on_message
        self._sock: socket.socket | None = None
        self._attached = False
        self._tell_at_s = 0.0
        self._stopping = threading.Event()
        self._client = _process_name()
        self._thread = threading.Thread(target=self._run, name=f"{model}@{stage}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Close the socket: every lease of this process ends."""
        self._stopping.set()
        self._book.waker.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def abandon(self) -> None:
        """In a forked child: the copy of the socket must not keep the parent's leases alive."""
        if self._sock is not None:
            self._sock.close()

    def _run(self) -> None:
        pause_s = RECONNECT_FIRST_S
        while not self._stopping.is_set():
            self._attached = False
            try:
                self._converse()
                self.trouble = f"the daemon at {self.path} closed the connection"
            except (OSError, WireError) as error:
                self.trouble = _trouble(self.path, error)
            pause_s = RECONNECT_FIRST_S if self._attached else min(2 * pause_s, RECONNECT_MAX_S)
            self._stopping.wait(pause_s * (0.5 + os.urandom(1)[0] / 256))

    def _converse(self) -> None:
        reader = FrameReader(accepts_fds=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
            self._sock = sock
            try:
                sock.settimeout(SEND_TIMEOUT_S)
                sock.connect(self.path)
                held = self._book.announce()
                attach = Attach(self._model, self._stage, os.getpid(), self._client, held, PROTOCOL)
                send_frame(sock, attach.message())
                self._serve(sock, reader)
            finally:
                self._sock = None
                reader.close()

    def _serve(self, sock: socket.socket, reader: FrameReader) -> None:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._book.waker.fd, select.POLLIN)
        while not self._stopping.is_set():
            observed = self._book.tallies.begun
            ready = {fd for fd, _ in poll.poll(TELL_EVERY_S * 1000 if observed else None)}
            if self._book.waker.fd in ready:
                self._book.waker.clear()
            if sock.fileno() in ready:
                if not reader.receive(sock):
                    return
                self._read(reader)
            if self._attached:
                self._send_waiting(sock)
        if self._attached:
            self._send_waiting(sock)  # that it is leaving, and what was observed

    def _read(self, reader: FrameReader) -> None:
        for frame, fds in reader.frames():
            try:
                message = from_daemon.parse(frame)
                if message is not None:
                    self._attached = self._attached or isinstance(message, from_daemon.Attached)
                    self._on_message(message, fds)
            finally:
                close_all(fds)  # what nobody took out of the list

    def _tell_requests(self, sock: socket.socket) -> None:
        self._tell_at_s = time.monotonic() + TELL_EVERY_S
        for requests in self._book.tallies.take(self._book.lives):
            send_frame(sock, requests.message())

    def _send_waiting(self, sock: socket.socket) -> None:
        """What was observed goes before what may end the lease that it was observed under."""
        tallies = self._book.tallies
        if tallies.begun and (self._book.waits() or time.monotonic() >= self._tell_at_s):
            self._tell_requests(sock)
        while (message := self._book.next_message()) is not None:
            send_frame(sock, message.message())


def _trouble(path: str, error: OSError | WireError) -> str:
    """What keeps this process from its daemon, and what to do."""
    if isinstance(error, PermissionError):
        return (
            f"uid {os.geteuid()} may not open {path} (Permission denied): add this user to the "
            f"group of the runtime directory{_gid(os.path.dirname(path))}, and start this anew"
        )
    reason = getattr(error, "strerror", None) or error
    return (
        f"no daemon is there ({path}: {reason}). Start `cachd node`, or set CACHD_SOCKET to its "
        "socket"
    )


def _gid(directory: str) -> str:
    try:
        return f" (gid {os.stat(directory).st_gid})"
    except OSError:
        return ""


def _process_name() -> str:
    import sys

    return (os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else "")[:CLIENT_CHARS_MAX]
