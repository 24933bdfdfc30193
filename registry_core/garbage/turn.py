"""One run of gc at a time: in this process by a lock, among several that share a store by a row
with a fencing token, which every commit of the run requires."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from registry_core.errors import Conflict
from registry_core.ledger.draft import Draft
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.ownership import Ownership

T = TypeVar("T")
TTL_MS = 60_000
"""So long another process waits for one that was killed."""


class Turn:
    """Commits of the run go through it. `renew` it more often than every TTL_MS."""

    def __init__(self, ledger: Ledger, ownership: Ownership | None, token: int) -> None:
        self.ledger = ledger
        self._ownership = ownership
        self._token = token

    @classmethod
    @contextmanager
    def take(cls, ledger: Ledger, lock: threading.Lock) -> Iterator[Turn]:
        """Conflict while another run has it."""
        if not lock.acquire(blocking=False):
            raise Conflict("gc is running already: wait for it")
        try:
            if not ledger.store.shared:
                yield cls(ledger, None, 0)
                return
            ownership = Ownership(ledger.store, "gc", uuid.uuid4().hex, TTL_MS)
            token = ownership.acquire_or_renew()
            if token is None:
                raise Conflict(
                    "gc is running at another authority, or was killed less than "
                    f"{TTL_MS // 1000} s ago: try again later"
                )
            try:
                yield cls(ledger, ownership, token)
            finally:
                ownership.release()
        finally:
            lock.release()

    def renew(self) -> None:
        """Before something is deleted from the origin. Conflict if another run has taken over."""
        if self._ownership is not None and self._ownership.acquire_or_renew() != self._token:
            raise Conflict("another run of gc has taken over: leave it to that one")

    def commit(self, work: Callable[[Draft], T]) -> T:
        def fenced(commit: Draft) -> T:
            if self._ownership is not None:
                self._ownership.require(commit.txn, self._token)
            return work(commit)

        return self.ledger.commit(fenced)
