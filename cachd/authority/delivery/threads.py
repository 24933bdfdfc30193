"""Threads for what waits for the store, apart from those that answer requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """Close it when nothing runs any more."""

    def __init__(self, count: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Whoever is cancelled meanwhile still waits for its end, so that
        what it wrote is there before anything that comes after."""
        task = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(self.pool, work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at: nobody is there to hear of it
            raise

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)
