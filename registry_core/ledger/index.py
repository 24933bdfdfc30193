"""The index that searches run on: one record per (field, value, version), holding its version_key.

key = kind (1) || hash of the field's key (8) || value || sequence of registration (8)
      || model || 0x00 || number (8)

Kinds: `t` tags, `m` metrics, `l` lineage, `f` formats (no value), `c` all versions by the time of
their registration (no hash; Unix milliseconds, 8 bytes). Values keep their order: metrics as 8
bytes, text escaped and cut at INDEXED_TEXT_MAX bytes, so a search checks what it finds against the
record itself. Deleted versions are not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from registry_core.domain.identifiers import ModelName
from registry_core.domain.metadata import metric_value
from registry_core.domain.search.sortable import encode_float64, encode_text, encode_u64
from registry_core.ledger.records import VersionRecord, version_key
from registry_core.ledger.store import Table, Writer

INDEXED_TEXT_MAX = 64
TAG, METRIC, LINEAGE, FORMAT, CREATED = b"t", b"m", b"l", b"f", b"c"


def update_index(txn: Writer, before: VersionRecord | None, after: VersionRecord) -> None:
    """Bring the index from what `before` had to what `after` has."""
    old = set(_keys(before)) if before is not None else set()
    new = set(_keys(after))
    for key in old - new:
        txn.delete(Table.INDEX, key)
    for key in new - old:
        txn.put(Table.INDEX, key, version_key(ModelName(after.model), after.number))


def of_field(kind: bytes, key: str) -> bytes:
    """Prefix of all index keys of one field, e.g. (TAG, "team")."""
    return kind + hashlib.sha256(key.encode()).digest()[:8]


def text_value(text: str) -> bytes:
    """How a text value begins in the index: exact for short ones, a prefix for long ones."""
    return encode_text(text)[:INDEXED_TEXT_MAX]


def place_of(version: VersionRecord) -> bytes:
    """The end of each of a version's index keys."""
    return version.sequence.to_bytes(8, "big") + version_key(
        ModelName(version.model), version.number
    )


def _keys(version: VersionRecord) -> Iterator[bytes]:
    if version.deleted_ms:
        return
    place = place_of(version)
    yield CREATED + encode_u64(version.created_ms) + place
    for key, value in version.tags.items():
        yield of_field(TAG, key) + text_value(value) + place
    for key, value in version.metrics.items():
        yield of_field(METRIC, key) + encode_float64(metric_value(value)) + place
    for key, value in version.lineage.items():
        yield of_field(LINEAGE, key) + text_value(value) + place
    for name in version.formats:
        yield of_field(FORMAT, name) + place
