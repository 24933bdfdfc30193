"""Changes run in threads, to their end, and then the log's readers are woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cachd.api.log_watch import LogWatch
from cachd.control.limits import WRITERS_MAX

T = TypeVar("T")


class Writes:
    """As many threads as changes may share one commit. Close it when no request runs any more."""

    def __init__(self, watch: LogWatch) -> None:
        self._watch = watch
        self._threads = ThreadPoolExecutor(WRITERS_MAX, thread_name_prefix="write")

    async def run(self, work: Callable[[], T]) -> T:
        """Run a write in a thread to its end, even if its client goes."""
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._threads, work)
        # A turn of the loop later: who asked for the change is answered before the log's readers.
        task.add_done_callback(lambda _: loop.call_soon(self._watch.notify))
        return await asyncio.shield(task)

    def close(self) -> None:
        self._threads.shutdown()
