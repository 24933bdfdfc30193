"""The thread that loads and warms prepared versions, one at a time, while others are served.

What takes longer than it may is told of and goes on: nothing can end a user's call from outside.
Apart from the link thread, so that a load of minutes delays neither a rollback's report nor a
lease's renewal. Keeps no reference to a version once its job is done.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from cachd.serve.typed import Of
from cachd.serve.version import Loaded, Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cachd.serve.typed import T


class Loader(Of["T"]):
    """`wanted` is asked before each load; exactly one of the two outcomes follows a load.
    `on_late`, with the handle and what is so slow, comes from a thread of its own."""

    def __init__(
        self,
        name: str,
        load: Callable[[Version], T],
        warm: Callable[[Version, T], object] | None,
        *,
        wanted: Callable[[Version], bool],
        on_loaded: Callable[[Loaded[T]], None],
        on_failed: Callable[[Version, BaseException], None],
        on_late: Callable[[int, str], None],
    ) -> None:
        self._load = load
        self._warm = warm
        self._wanted = wanted
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._on_late = on_late
        self._doing = "load"
        self._jobs: SimpleQueue[tuple[Version, float] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, version: Version, within_s: float) -> None:
        """`within_s` counts from when its turn comes; 0: for ever."""
        self._jobs.put((version, within_s))

    def stop(self) -> None:
        """Ends the thread after the load under way, whose outcome nobody wants any more."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._one(*job)
            del job

    def _one(self, version: Version, within_s: float) -> None:
        if not self._wanted(version):
            return
        alarm = self._alarm(version.lease.handle, within_s)
        try:
            self._doing = "load"
            value = self._load(version)
            if self._warm is not None:
                self._doing = "warm"
                self._warm(version, value)
        except BaseException as error:  # sys.exit() in user code must not end the thread
            alarm.cancel()
            self._on_failed(version, error)
        else:
            alarm.cancel()
            self._on_loaded(Loaded(version, value))

    def _alarm(self, handle: int, within_s: float) -> threading.Timer:
        alarm = threading.Timer(within_s, self._late, (handle, within_s))
        alarm.daemon = True
        if within_s:
            alarm.start()
        return alarm

    def _late(self, handle: int, within_s: float) -> None:
        what = "load" if self._doing == "load" else "load and warm together"
        self._on_late(handle, f"{what} took longer than {within_s:g} s")
