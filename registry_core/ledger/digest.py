"""The digest of the canonical tables, which `state` entries carry and snapshots verify against.

SHA-256 over, for each derived table in their fixed order and each record in key order:
length of table name, key and value (u32 big-endian each), then the three.
"""

from __future__ import annotations

import hashlib
import struct

from registry_core.domain.identifiers import Digest
from registry_core.ledger.store import DERIVED, Reader

_LENGTHS = struct.Struct(">III")


def tables_digest(txn: Reader) -> Digest:
    hasher = hashlib.sha256()
    for table in DERIVED:
        name = table.value.encode()
        for key, value in txn.scan(table):
            hasher.update(_LENGTHS.pack(len(name), len(key), len(value)) + name + key + value)
    return Digest(hasher.digest())
