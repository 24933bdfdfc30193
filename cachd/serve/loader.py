"""The thread that loads and warms prepared versions, one at a time, while others are served.

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
    """`wanted` is asked before each load; exactly one of the two outcomes follows a load."""

    def __init__(
        self,
        name: str,
        load: Callable[[Version], T],
        warm: Callable[[Version, T], object] | None,
        *,
        wanted: Callable[[Version], bool],
        on_loaded: Callable[[Loaded[T]], None],
        on_failed: Callable[[Version, BaseException], None],
    ) -> None:
        self._load = load
        self._warm = warm
        self._wanted = wanted
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._jobs: SimpleQueue[Version | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, version: Version) -> None:
        self._jobs.put(version)

    def stop(self) -> None:
        """Ends the thread after the load under way, whose outcome nobody wants any more."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (version := self._jobs.get()) is not None:
            self._one(version)
            del version

    def _one(self, version: Version) -> None:
        if not self._wanted(version):
            return
        try:
            value = self._load(version)
            if self._warm is not None:
                self._warm(version, value)
        except BaseException as error:  # sys.exit() in user code must not end the thread
            self._on_failed(version, error)
        else:
            self._on_loaded(Loaded(version, value))
