"""The one thread of a loop over many connections, from its start to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachd.peer.poller import Poller


class PollThread:
    """After `start` it calls `prepare`, then `one_round` again and again, and `end` once it was
    told to `stop`. What waits in a round waits by `poller`."""

    def __init__(
        self,
        name: str,
        prepare: Callable[[], None],
        one_round: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self.poller = Poller()
        self._prepare, self._one_round, self._end = prepare, one_round, end
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended. Once; from any other thread."""
        self._stopping = True
        self.poller.wake()
        self._thread.join()
        self.poller.close()

    def _run(self) -> None:
        self._prepare()
        while not self._stopping:
            self._one_round()
        self._end()
