"""One thread that accepts connections, and hears each until it is clear what it wants.

Most follow a version, and cost no thread of their own then. Nothing here waits, and what a newcomer
says is bounded, so that none keeps the others from being heard.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from cachd import limits
from cachd.peer.connection import ServedConnection
from cachd.peer.poll_thread import PollThread
from cachd.peer.protocol import Follow, Malformed
from cachd.peer.requests import Asked, Gone


class Reception:
    """`admit` makes a connection of what was accepted, or closes it. Of each admitted one, `wants`
    is told what it asked for first, or `left` that it went. All are called by the one thread."""

    def __init__(
        self,
        listener: socket.socket,
        admit: Callable[[socket.socket, str], ServedConnection | None],
        wants: Callable[[ServedConnection, Follow | Asked], None],
        left: Callable[[ServedConnection], None],
        prepare: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._admit, self._wants, self._left = admit, wants, left
        self._thread = PollThread("cachd-peer-accept", prepare, self._round, self._end)
        self._poller = self._thread.poller
        self._newcomers: dict[int, ServedConnection] = {}
        self._listening = False
        self._listen_at_s = 0.0
        listener.setblocking(False)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, and return when the thread has ended. Once; from any thread."""
        self._thread.stop()

    def _end(self) -> None:
        for newcomer in self._newcomers.values():
            self._left(newcomer)

    def _round(self) -> None:
        pause_s = self._listen_at_s - time.monotonic()
        if not self._listening and pause_s <= 0:
            self._poller.listen(self._listener.fileno())
            self._listening = True
        ready, _ = self._poller.poll(None if self._listening else pause_s)
        for descriptor, _ in ready:
            if descriptor == self._listener.fileno():
                self._accept()
            elif (newcomer := self._newcomers.get(descriptor)) is not None:
                self._hear(newcomer)

    def _accept(self) -> None:
        for _ in range(limits.SERVER_ACCEPTS_AT_ONCE):
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors, or of memory
                self._poller.leave(self._listener.fileno())
                self._listening = False
                self._listen_at_s = time.monotonic() + limits.SERVER_WATCH_INTERVAL_S
                return
            newcomer = self._admit(accepted, peer[0])
            if newcomer is not None:
                self._newcomers[newcomer.fileno()] = newcomer
                self._poller.listen(newcomer.fileno())

    def _hear(self, newcomer: ServedConnection) -> None:
        try:
            wanted = newcomer.hear()
        except (Gone, Malformed, OSError):
            self._forget(newcomer)
            self._left(newcomer)  # it sees the end of the stream and tells its own side
            return
        if wanted is not None:
            self._forget(newcomer)
            self._wants(newcomer, wanted)

    def _forget(self, newcomer: ServedConnection) -> None:
        self._poller.leave(newcomer.fileno())
        del self._newcomers[newcomer.fileno()]
