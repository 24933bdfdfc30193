"""Epoll that any thread can wake: what a loop over many connections waits by."""

from __future__ import annotations

import contextlib
import os
import select


class Poller:
    """`wake` may be called by any thread until `close`, all else by the loop's own."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)

    def wake(self) -> None:
        """Let the call of `poll` under way, or the next one, return at once."""
        os.eventfd_write(self._wake, 1)

    def poll(self, timeout_s: float | None) -> tuple[list[tuple[int, int]], bool]:
        """Descriptors with their events, and whether `wake` was called. None: wait for ever."""
        ready = self._epoll.poll(timeout_s)
        woken = any(descriptor == self._wake for descriptor, _ in ready)
        if woken:
            os.eventfd_read(self._wake)
        return [one for one in ready if one[0] != self._wake], woken

    def listen(self, descriptor: int) -> None:
        self._epoll.register(descriptor, select.EPOLLIN)

    def want_to_send(self, descriptor: int, wanted: bool) -> None:
        """Whether it is told, too, when a descriptor that is listened to takes more."""
        self._epoll.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def leave(self, descriptor: int) -> None:
        """Not listened to any more, if it was: one that was closed is gone already."""
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._wake)
