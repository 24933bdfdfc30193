"""An origin, and another behind it for what it cannot give.

So that serving does not depend on copying having been done: a node of a region goes on with the
home region's origin where its own does not hold a version yet, or is away. Neither is trusted.
"""

from __future__ import annotations

import threading

from registry_core.domain.packs import Location
from registry_core.errors import NotFound, OriginError
from registry_core.origin.store import Origin


class FallbackOrigin(Origin):
    """`first`, whose reads are answered by `second` where it fails. For the time of one fetch: when
    `first` could not be reached, or was given up, it is not asked again. Thread-safe.

    A `first` that is busy is neither: documents come from `second` meanwhile, chunks have to wait.
    """

    def __init__(self, first: Origin, second: Origin | None) -> None:
        super().__init__(first.url, first._store, first._local_root, first._conditions)  # noqa: SLF001  # it is the first
        self.second = second
        self._lock = threading.Lock()
        self._given_up = False
        self.bytes_from_second = 0
        """Of chunks."""

    def give_up(self) -> bool:
        """What the first gives is not what it should be: ask the second alone. False if there is
        none, or this is no news."""
        news = self.second is not None and not self._given_up
        self._given_up = True
        return news

    def get(self, key: str, *, bytes_max: int) -> bytes:
        if self.second is None:
            return super().get(key, bytes_max=bytes_max)
        if not self._given_up:
            try:
                return super().get(key, bytes_max=bytes_max)
            except (NotFound, OriginError) as error:
                self._failed(error)
        return self.second.get(key, bytes_max=bytes_max)

    def read_chunk(self, place: Location) -> memoryview:
        if self.second is None:
            return super().read_chunk(place)
        if not self._given_up:
            try:
                return super().read_chunk(place)
            except (NotFound, OriginError) as error:
                if isinstance(error, OriginError) and error.busy:
                    raise  # it is there: who asks is to ask for less, not to cross the link
                self._failed(error)
        data = self.second.read_chunk(place)
        with self._lock:
            self.bytes_from_second += len(data)
        return data

    def _failed(self, error: NotFound | OriginError) -> None:
        """One object that is missing or cut short says nothing of the others."""
        if isinstance(error, OriginError) and error.retryable and not error.busy:
            self._given_up = True
