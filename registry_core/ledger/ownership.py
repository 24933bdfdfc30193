"""Single owners: of several processes that share a store, one does a job at a time.

An owner holds a row with a fencing token and an end by the store's own clock, and renews it well
before. When it dies, the row runs out and another takes over with a larger token; what the old one
still tries to write under its token is refused in the same transaction (Kleppmann, "How to do
distributed locking", 2016; Gray and Cheriton, "Leases", 1989). Soft state: it is not in the log.

Threads: one caller per Ownership.
"""

from __future__ import annotations

import msgspec

from registry_core.errors import NotOwner
from registry_core.ledger.records import decode
from registry_core.ledger.store import Reader, Store, Table, Writer

TTL_MS = 3_000
RENEW_S = 1.0
"""How often an owner renews: two renewals may fail before another takes over."""


class _Owner(msgspec.Struct, frozen=True):
    holder: str
    token: int
    until_ms: int


class Ownership:
    """Of the job `name`, by `holder`: unique to this process and start."""

    def __init__(self, store: Store, name: str, holder: str, ttl_ms: int = TTL_MS) -> None:
        self._store = store
        self._key = name.encode()
        self._holder = holder
        self._ttl_ms = ttl_ms

    def acquire_or_renew(self) -> int | None:
        """The fencing token, the same as long as this holder has it; None while another has."""
        with self._store.write() as txn:
            now_ms, known = txn.time_ms(), self._read(txn)
            if known is not None and known.holder != self._holder and known.until_ms > now_ms:
                return None
            again = known is not None and known.holder == self._holder and known.until_ms > now_ms
            token = (known.token if known is not None else 0) + (0 if again else 1)
            self._put(txn, _Owner(self._holder, token, now_ms + self._ttl_ms))
        return token

    def release(self) -> None:
        """Let another take over at once. No effect if this holder has it no more."""
        with self._store.write() as txn:
            known = self._read(txn)
            if known is not None and known.holder == self._holder:
                self._put(txn, _Owner("", known.token, 0))

    def require(self, txn: Reader, token: int) -> None:
        """Raise NotOwner unless `token` is the newest and has not run out; in the transaction
        that writes what only the owner may."""
        known = self._read(txn)
        if known is None or known.token != token or known.until_ms <= txn.time_ms():
            raise NotOwner(
                f"{self._holder} is not the owner of {self._key.decode()} any more: another "
                "process has taken over"
            )

    def _read(self, txn: Reader) -> _Owner | None:
        data = txn.get(Table.OWNERS, self._key)
        return None if data is None else decode(_Owner, data)

    def _put(self, txn: Writer, owner: _Owner) -> None:
        txn.put(Table.OWNERS, self._key, msgspec.json.encode(owner))
