"""prefetch.asked: nodes of a region are to bring a version before it is needed.

A wish ends by its time, which every reader judges by its own clock. Those that ended before an
entry was made leave the table with it, so that the table is what the log says.
"""

from __future__ import annotations

from registry_core.domain import limits
from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.policy import Root
from registry_core.domain.region import EVERY_REGION
from registry_core.ledger import queries, regions, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import PrefetchRecord, encode, pin_key, prefetch_key
from registry_core.ledger.store import Table, Writer


def prefetch_asked(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    model, number = subjects.version_of(entry.subject)
    require(entry.after.keys() == {"region", "until"}, entry, "says more than a wish has")
    region, until_ms = entry.after["region"], entry.after["until"]
    if region != EVERY_REGION:
        RegionName.parse(region)
    kept_ms = until_ms - entry.time_ms
    require(0 < kept_ms <= limits.PREFETCH_MS_MAX, entry, "is kept for too long, or not at all")
    require(not queries.version(txn, model, number).deleted_ms, entry, "wants a deleted version")
    drop_expired(txn, entry)
    made = PrefetchRecord(
        region, model.text, number, until_ms, entry.time_ms, entry.sequence, entry.actor
    )
    txn.put(Table.PREFETCHES, prefetch_key(model, number, region), encode(made))


def drop_expired(txn: Writer, entry: Entry) -> None:
    """Wishes and pins that ended before the entry was made."""
    for known in list(regions.wishes(txn)):
        if known.until_ms <= entry.time_ms:
            key = pin_key if known.pinned else prefetch_key
            txn.delete(Table.PREFETCHES, key(ModelName(known.model), known.number, known.region))
