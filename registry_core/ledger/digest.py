"""The digest of the canonical tables, which `state` entries carry and snapshots verify against.

SHA-256 of the set hash (`domain.set_hash`) over all records of the derived tables, an element being
length of table name, key and value (u32 big-endian each), then the three. The set hash is kept in
META and follows each change, so that the digest costs nothing however large the tables are;
`scanned_digest` computes it anew from what the tables hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from registry_core.domain.identifiers import Digest
from registry_core.domain.set_hash import EMPTY, SetHash
from registry_core.ledger.store import DERIVED, Reader, Table, Writer

_LENGTHS = struct.Struct(">III")
_KEY = b"tables"
_IS_DERIVED = frozenset(DERIVED)


class Tracked:
    """A Writer that keeps the set hash in step. `finish` stores it."""

    def __init__(self, txn: Writer) -> None:
        self._txn = txn
        self._hash = SetHash(txn.get(Table.META, _KEY) or EMPTY)
        self._changed = False

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self._txn.get(table, key)

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._txn.scan(table, prefix, after=after, reverse=reverse)

    def time_ms(self) -> int:
        return self._txn.time_ms()

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._forget(table, key)
        self._txn.put(table, key, value)
        if table in _IS_DERIVED:
            self._hash.add(_element(table, key, value))
            self._changed = True

    def delete(self, table: Table, key: bytes) -> None:
        self._forget(table, key)
        self._txn.delete(table, key)

    def finish(self) -> None:
        if self._changed:
            self._txn.put(Table.META, _KEY, self._hash.state)

    def _forget(self, table: Table, key: bytes) -> None:
        old = self._txn.get(table, key) if table in _IS_DERIVED else None
        if old is not None:
            self._hash.remove(_element(table, key, old))
            self._changed = True


def tables_digest(txn: Reader) -> Digest:
    """Of the derived tables as they are, from the hash that is kept."""
    return Digest.of(txn.get(Table.META, _KEY) or EMPTY)


def scanned_digest(txn: Reader) -> Digest:
    """The same, from the tables themselves."""
    whole = SetHash()
    for table in DERIVED:
        for key, value in txn.scan(table):
            whole.add(_element(table, key, value))
    return Digest.of(whole.state)


def _element(table: Table, key: bytes, value: bytes) -> bytes:
    name = table.value.encode()
    return _LENGTHS.pack(len(name), len(key), len(value)) + name + key + value
