"""Running a daemon: until SIGTERM or SIGINT, told of to the service manager, watched by it.

The watchdog is beaten from the event loop that does the work, twice as often as asked for: a loop
that hangs is a daemon that hangs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import uvloop

from cachd.service_manager import ServiceManager


class Daemon(Protocol):
    """What the commands run."""

    async def start(self) -> dict[str, object]:
        """Begin to serve; what to say in the ready line."""
        ...

    async def stop(self) -> None: ...


def run(make: Callable[[], Daemon], service: ServiceManager | None = None) -> None:
    """Start, say so on standard output and to the service manager, serve, stop."""
    uvloop.run(_serve(make(), service or ServiceManager.from_environment(os.environ)))


async def _serve(daemon: Daemon, service: ServiceManager) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    ready = await daemon.start()
    gc.collect()
    gc.freeze()  # what is there now stays: a full collection must not hold up a flip
    sys.stdout.write(json.dumps(ready | {"pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    service.ready(", ".join(f"{name} {value}" for name, value in ready.items()))
    beating = asyncio.create_task(_beat(service), name="watchdog")
    try:
        await stopping.wait()
        service.stopping()
    finally:
        await daemon.stop()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _beat(service: ServiceManager) -> None:
    """While stopping, too: that may take a while."""
    while service.watchdog_s:
        service.beat()
        await asyncio.sleep(service.watchdog_s / 2)
