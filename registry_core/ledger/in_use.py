"""Who uses a thing that may have to be taken away for a moment, without a lock on the way in.

`enter` and `leave` are each one operation on a dictionary, which the GIL makes whole; a user who
comes in while the gate is shut goes out again and waits. Threads: any.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE_S = 0.001


class InUse:
    def __init__(self) -> None:
        self._users: dict[int, None] = {}
        self._shut = False
        self._open = threading.Event()
        self._open.set()

    def enter(self, user: object) -> None:
        self._users[id(user)] = None  # before the gate is looked at, so that one of the two sees
        if self._shut:
            self._wait(user)

    def leave(self, user: object) -> None:
        self._users.pop(id(user), None)

    @contextmanager
    def nobody(self, within_s: float) -> Iterator[bool]:
        """Shut the gate and wait until everybody has left; False if somebody stays too long."""
        self._open.clear()
        self._shut = True
        try:
            deadline = time.monotonic() + within_s
            while self._users and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
            yield not self._users
        finally:
            self._shut = False
            self._open.set()

    def _wait(self, user: object) -> None:
        while self._shut:
            self.leave(user)
            self._open.wait()
            self._users[id(user)] = None
