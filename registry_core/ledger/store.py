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
    """LOG, TREE and META are the log; the others are derived from it and can be replayed."""

    META = "meta"
    LOG = "log"
    TREE = "tree"
    MODELS = "models"
    VERSIONS = "versions"
    DIGESTS = "digests"
    STAGES = "stages"
    HISTORY = "history"
    POLICY = "policy"


DERIVED = (
    Table.MODELS,
    Table.VERSIONS,
    Table.DIGESTS,
    Table.STAGES,
    Table.HISTORY,
    Table.POLICY,
)


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


class Writer(Reader, Protocol):
    """A view that can be changed."""

    def put(self, table: Table, key: bytes, value: bytes) -> None: ...

    def delete(self, table: Table, key: bytes) -> None: ...


class Store(Protocol):
    """A backend. Transactions are short: no I/O to anything else within one."""

    def read(self) -> AbstractContextManager[Reader]: ...

    def write(self) -> AbstractContextManager[Writer]: ...

    def close(self) -> None: ...
