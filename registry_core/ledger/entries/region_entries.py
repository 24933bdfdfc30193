"""region.added, region.removed, version.replicated and version.withdrawn: where versions are.

The home region holds what is registered; of the others the log says, version by version, that their
origin holds all of it, and that it does not any more.
"""

from __future__ import annotations

from registry_core.domain.entry import Entry, LogRecord
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.policy import Root
from registry_core.domain.region import Region
from registry_core.ledger import queries, regions, subjects
from registry_core.ledger.entries.require import require
from registry_core.ledger.records import (
    CopyRecord,
    RegionRecord,
    copy_key,
    encode,
    of_region,
    region_key,
)
from registry_core.ledger.store import Table, Writer


def region_added(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    after = entry.after
    region = Region.parse(subjects.region_of(entry.subject), after["url"], after["options"])
    require(after.keys() == {"url", "options"}, entry, "says more than a region has")
    require(txn.get(Table.REGIONS, region_key(region.name)) is None, entry, "adds a region twice")
    require(region.name != regions.home_region(txn), entry, "adds the home region")
    made = RegionRecord(
        region.name.text, entry.time_ms, entry.sequence, region.url, dict(region.options)
    )
    txn.put(Table.REGIONS, region_key(region.name), encode(made))


def region_removed(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    """What its origin holds counts no more."""
    known = regions.region(txn, subjects.region_of(entry.subject))
    name = RegionName(known.name)
    require(entry.after is None, entry, "leaves something behind")
    txn.delete(Table.REGIONS, region_key(name))
    for key, _ in list(txn.scan(Table.COPIES, of_region(name))):
        txn.delete(Table.COPIES, key)


def version_replicated(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    name, model, number = _copy_of(txn, entry)
    known = regions.find_copy(txn, name, model, number)
    require(known is None, entry, "makes a copy that is there")
    require(not queries.version(txn, model, number).deleted_ms, entry, "copies a deleted version")
    made = CopyRecord(name.text, model.text, number, entry.time_ms, entry.sequence)
    txn.put(Table.COPIES, copy_key(name, model, number), encode(made))


def version_withdrawn(txn: Writer, root: Root, record: LogRecord, entry: Entry) -> None:
    name, model, number = _copy_of(txn, entry)
    known = regions.find_copy(txn, name, model, number)
    require(known is not None, entry, "withdraws a copy that is not there")
    txn.delete(Table.COPIES, copy_key(name, model, number))


def _copy_of(txn: Writer, entry: Entry) -> tuple[RegionName, ModelName, int]:
    model, number = subjects.version_of(entry.subject)
    require(entry.after.keys() == {"region"}, entry, "says more than where a copy is")
    known = regions.region(txn, RegionName.parse(entry.after["region"]))
    return RegionName(known.name), model, number
