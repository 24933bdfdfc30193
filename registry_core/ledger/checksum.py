"""Records carry a checksum bound to their table and key: what a disk or a hand changed is noticed,
and so is a record that lies under another's key."""

from __future__ import annotations

from xxhash import xxh3_64_digest

from registry_core.errors import IntegrityError
from registry_core.ledger.store import Table

SUM_BYTES = 8
PREFIX = {table: table.value.encode() + b"\0" for table in Table}


def checksum(table: Table, key: bytes, value: bytes) -> bytes:
    return xxh3_64_digest(PREFIX[table] + key + b"\0" + value)


def seal(table: Table, key: bytes, value: bytes) -> bytes:
    """`value` as it is stored."""
    return checksum(table, key, value) + value


def unseal(table: Table, key: bytes, stored: bytes) -> bytes:
    """The value, or IntegrityError."""
    value = stored[SUM_BYTES:]
    if stored[:SUM_BYTES] != checksum(table, key, value):
        raise damaged(table)
    return value


def damaged(table: Table) -> IntegrityError:
    return IntegrityError(
        f"a record of table {table} in the ledger is damaged: restore the ledger from a backup"
    )
