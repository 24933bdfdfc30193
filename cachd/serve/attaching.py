"""Attaching without holding up an event loop: what `aattach` returns.

What would wait runs in a thread of its own, so nothing here depends on the size of the loop's
executor. Whoever is cancelled waits for the end of the attachment (milliseconds), not longer.
"""

from __future__ import annotations

import asyncio
import threading

from cachd.serve.typed import Of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Any

    from cachd.serve.attached import Attached
    from cachd.serve.typed import T


class Attaching(Of["T"]):
    """Awaited, once, it gives the attachment; as `async with` it also closes it."""

    def __init__(self, attached: Attached[T], timeout_s: float) -> None:
        self._attached = attached
        self._timeout_s = timeout_s

    def __await__(self) -> Generator[Any, None, Attached[T]]:
        return self._attach().__await__()

    async def __aenter__(self) -> Attached[T]:
        return await self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _attach(self) -> Attached[T]:
        try:
            self._attached.begin()
            await _off_the_loop(lambda: self._attached.await_first(self._timeout_s))
        except BaseException:
            await self._close()
            raise
        return self._attached

    async def _close(self) -> None:
        await asyncio.shield(_off_the_loop(self._attached.close))


def _off_the_loop(call: Callable[[], None]) -> asyncio.Future[None]:
    """Run in a thread; what it raised is raised where the future is awaited."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error = None
        try:
            call()
        except BaseException as raised:  # it belongs to whoever awaits
            error = raised
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:
            return  # the loop is closed: nobody awaits any more

    threading.Thread(target=run, name="attaching", daemon=True).start()
    return done
