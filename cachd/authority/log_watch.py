"""Who waits for the log to grow. Event loop only."""

from __future__ import annotations

import asyncio


class LogWatch:
    """`notify` wakes everyone who waits. A waiter passes the count it saw, so none is missed."""

    def __init__(self) -> None:
        self.count = 0
        self.closed = False
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self.count += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Wake everyone for the last time."""
        self.closed = True
        self.notify()

    async def wait(self, seen: int) -> None:
        """Return once `count` has moved beyond `seen`."""
        while self.count <= seen:
            await self._changed.wait()
