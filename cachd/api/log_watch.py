"""Who waits for the log to grow. Event loop only.

Where other processes write the same ledger, their changes have to be looked for: `poll`.
"""

from __future__ import annotations

import asyncio

import structlog

from cachd.control.limits import LOG_POLL_S, RETRY_S_MAX
from registry_core.errors import RegistryError
from registry_core.ledger.ledger import Ledger

_log = structlog.get_logger("cachd.authority")


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

    async def poll(self, ledger: Ledger) -> None:
        """Notice what other processes append. Runs until it is cancelled."""
        seen = -1
        while True:
            try:
                size = await asyncio.to_thread(ledger.size)
            except RegistryError as error:
                _log.warning("the log cannot be looked at", error=str(error))
                await asyncio.sleep(RETRY_S_MAX)
                continue
            if size != seen:
                seen = size
                self.notify()
            await asyncio.sleep(LOG_POLL_S)
