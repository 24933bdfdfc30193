"""Reads about regions over one transaction: which there are, what they hold, what is to come."""

from __future__ import annotations

from collections.abc import Iterator

from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import HOME_REGION
from registry_core.errors import NotFound
from registry_core.ledger.records import (
    CopyRecord,
    PrefetchRecord,
    RegionRecord,
    copy_key,
    decode,
    of_region,
    region_key,
)
from registry_core.ledger.store import Reader, Table


def regions(txn: Reader) -> Iterator[RegionRecord]:
    """All but the home region, by name."""
    for _, data in txn.scan(Table.REGIONS):
        record = decode(RegionRecord, data)
        if not record.home:
            yield record


def home_region(txn: Reader) -> RegionName:
    """The region that is pushed to."""
    for _, data in txn.scan(Table.REGIONS):
        record = decode(RegionRecord, data)
        if record.home:
            return RegionName(record.name)
    return HOME_REGION


def find_region(txn: Reader, name: RegionName) -> RegionRecord | None:
    """The region, unless it is the home region."""
    data = txn.get(Table.REGIONS, region_key(name))
    record = None if data is None else decode(RegionRecord, data)
    return record if record is not None and not record.home else None


def region(txn: Reader, name: RegionName) -> RegionRecord:
    found = find_region(txn, name)
    if found is None:
        if name == home_region(txn):
            raise NotFound(f"{name} is the home region: it holds what is pushed, and is no copy")
        raise NotFound(f"there is no region {name}: `cachctl region list` shows those there are")
    return found


def find_copy(txn: Reader, name: RegionName, model: ModelName, number: int) -> CopyRecord | None:
    data = txn.get(Table.COPIES, copy_key(name, model, number))
    return None if data is None else decode(CopyRecord, data)


def copies(txn: Reader, model: ModelName, number: int) -> Iterator[CopyRecord]:
    """Of one version, by region."""
    for record in regions(txn):
        found = find_copy(txn, RegionName(record.name), model, number)
        if found is not None:
            yield found


def copies_in(txn: Reader, name: RegionName) -> Iterator[CopyRecord]:
    """All that a region holds."""
    for _, data in txn.scan(Table.COPIES, of_region(name)):
        yield decode(CopyRecord, data)


def wishes(txn: Reader) -> Iterator[PrefetchRecord]:
    """Prefetches and pins, also those that have expired since the last was asked for."""
    for _, data in txn.scan(Table.PREFETCHES):
        yield decode(PrefetchRecord, data)


def prefetches(txn: Reader) -> Iterator[PrefetchRecord]:
    return (wish for wish in wishes(txn) if not wish.pinned)


def pins(txn: Reader) -> Iterator[PrefetchRecord]:
    return (wish for wish in wishes(txn) if wish.pinned)
