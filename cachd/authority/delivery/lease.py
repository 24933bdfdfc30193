"""Whether this authority is the one that delivers.

Where several share a store, one holds the lease (`registry_core.ledger.ownership`) and renews it
each second; when it dies, another takes over within TTL and a second. A store that only one process
can write needs no lease, and no write per second.

Threads: `renew` and `release` by one at a time; `held` and `require` by any.
"""

from __future__ import annotations

import time

from registry_core.errors import NotOwner
from registry_core.ledger.ownership import TTL_MS, Ownership
from registry_core.ledger.store import Reader, Store

_SOLE = 0


class Lease:
    def __init__(self, store: Store, holder: str) -> None:
        self._ownership = Ownership(store, "delivery", holder) if store.shared else None
        self._token: int | None = None
        self._until_s = 0.0

    @property
    def held(self) -> bool:
        """Whether nobody else can have taken over yet: to be asked before anything is sent. By our
        own clock, from before the last renewal, so never longer than the store thinks."""
        if self._ownership is None:
            return True
        return self._token is not None and time.monotonic() < self._until_s

    def renew(self) -> int | None:
        """The fencing token; another one than before says that others may have delivered in
        between. None while another has the lease."""
        if self._ownership is None:
            return _SOLE
        began_s = time.monotonic()
        self._token = self._ownership.acquire_or_renew()
        self._until_s = began_s + TTL_MS / 1000
        return self._token

    def release(self) -> None:
        """Let another take over at once."""
        if self._ownership is not None and self._token is not None:
            self._token = None
            self._ownership.release()

    def require(self, txn: Reader) -> None:
        """NotOwner, unless the lease is held; in the transaction that writes."""
        if self._ownership is None:
            return
        if self._token is None:
            raise NotOwner("this authority does not deliver any more: another has taken over")
        self._ownership.require(txn, self._token)
