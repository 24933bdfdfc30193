"""version.pinned and version.unpinned: nodes of a region keep a version in memory.

A pin is a wish that nothing gives way to; it lies in the table of wishes, and ends by its time or
by an entry.
"""

from __future__ import annotations

from registry_core.domain import limits
from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import RegionName
from registry_core.domain.policy import Root
from registry_core.domain.region import EVERY_REGION
from registry_core.ledger import queries, subjects
from registry_core.ledger.entries.prefetch_entries import drop_expired
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import PrefetchRecord, encode, pin_key
from registry_core.ledger.store import Table, Writer


def version_pinned(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, number = subjects.version_of(entry.subject)
    require(entry.after.keys() == {"region", "until"}, entry, "says more than a pin has")
    region, until_ms = entry.after["region"], entry.after["until"]
    if region != EVERY_REGION:
        RegionName.parse(region)
    lasts = 0 < until_ms - entry.time_ms <= limits.PIN_MS_MAX or until_ms == limits.NO_END_MS
    require(lasts, entry, "lasts too long, or not at all")
    require(not queries.version(txn, model, number).deleted_ms, entry, "pins a deleted version")
    drop_expired(txn, entry)
    made = PrefetchRecord(
        region, model.text, number, until_ms, entry.time_ms, entry.sequence, entry.actor,
        pinned=True, reason=entry.reason,
    )  # fmt: skip
    txn.put(Table.PREFETCHES, pin_key(model, number, region), encode(made))


def version_unpinned(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, number = subjects.version_of(entry.subject)
    require(entry.after.keys() == {"region"}, entry, "says more than the end of a pin has")
    key = pin_key(model, number, entry.after["region"])
    require(txn.get(Table.PREFETCHES, key) is not None, entry, "unpins what is not pinned")
    txn.delete(Table.PREFETCHES, key)
