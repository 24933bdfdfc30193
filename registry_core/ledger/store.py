"""The transaction interface that every backend implements. The domain logic is written over it.

Keys and values are bytes; keys are at most 511 bytes; a scan is ordered by key. A write transaction
sees its own writes, is durable when it ends without an exception, and leaves nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Protocol


class Table(StrEnum):
    """LOG, TREE and META are the log; DERIVED can be replayed from it; SOFT is not in the log."""

    META = "meta"
    LOG = "log"
    TREE = "tree"
    MODELS = "models"
    VERSIONS = "versions"
    DIGESTS = "digests"
    STAGES = "stages"
    HISTORY = "history"
    POLICY = "policy"
    INDEX = "index"
    PROPOSALS = "proposals"
    REQUESTS = "requests"
    EPOCHS = "epochs"
    INTENTS = "intents"
    CONDEMNED = "condemned"
    REGIONS = "regions"
    COPIES = "copies"
    PREFETCHES = "prefetches"
    OWNERS = "owners"
    CONSUMERS = "consumers"
    DELIVERIES = "deliveries"
    REPORTS = "reports"


DERIVED = (
    Table.MODELS,
    Table.VERSIONS,
    Table.DIGESTS,
    Table.STAGES,
    Table.HISTORY,
    Table.POLICY,
    Table.INDEX,
    Table.PROPOSALS,
    Table.REQUESTS,
    Table.EPOCHS,
    Table.INTENTS,
    Table.CONDEMNED,
    Table.REGIONS,
    Table.COPIES,
    Table.PREFETCHES,
)
SOFT = (Table.OWNERS, Table.CONSUMERS, Table.DELIVERIES, Table.REPORTS)
assert len(Table) == 3 + len(DERIVED) + len(SOFT)


class Reader(Protocol):
    """A consistent view of all tables."""

    def get(self, table: Table, key: bytes) -> bytes | None: ...

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Records whose key begins with `prefix`, in key order, from beyond `after` on."""
        ...

    def time_ms(self) -> int:
        """Unix milliseconds by the store's clock: one clock for all who share it."""
        ...


class Writer(Reader, Protocol):
    """A view that can be changed."""

    def put(self, table: Table, key: bytes, value: bytes) -> None: ...

    def delete(self, table: Table, key: bytes) -> None: ...


class Store(Protocol):
    """A backend. Transactions are short: no I/O to anything else within one."""

    @property
    def shared(self) -> bool:
        """Whether other processes may write too: then changes must be looked for."""
        ...

    def read(self) -> AbstractContextManager[Reader]: ...

    def write(self) -> AbstractContextManager[Writer]: ...

    def close(self) -> None: ...
