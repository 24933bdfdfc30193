"""Pinning versions: nodes keep them in memory until that ends."""

from __future__ import annotations

from collections.abc import Sequence

from registry_core.changes.versions import require_there
from registry_core.domain import limits
from registry_core.domain.entry import EntryType
from registry_core.domain.identifiers import ModelName, RegionName
from registry_core.domain.region import EVERY_REGION
from registry_core.errors import Conflict, InvalidInput, NotFound
from registry_core.ledger import queries, regions, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.records import PrefetchRecord, VersionRecord


def pin(
    commit: Draft,
    version: VersionRecord,
    wanted: Sequence[str],
    keep_ms: int | None,
    change: Change,
) -> list[PrefetchRecord]:
    """The pins, one per region in `wanted` (`*`: all of them). `keep_ms` None: until unpinned."""
    model = ModelName(version.model)
    _check(wanted, keep_ms)
    if commit.recall(change) is None:
        require_there(queries.version(commit.txn, model, version.number))
        alive = [one for one in regions.wishes(commit.txn) if one.until_ms > commit.time_ms]
        if len(alive) + len(wanted) > limits.PREFETCHES_MAX:
            raise Conflict(f"{limits.PREFETCHES_MAX} prefetches and pins are open: unpin some")
        until_ms = limits.NO_END_MS if keep_ms is None else commit.time_ms + keep_ms
        for region in dict.fromkeys(wanted):
            _append(commit, EntryType.VERSION_PINNED, version, change, region, until=until_ms)
    return [one for one in _pins_of(commit, version) if one.region in wanted]


def unpin(commit: Draft, version: VersionRecord, change: Change) -> list[PrefetchRecord]:
    """The pins that end, of all regions. NotFound, if there are none."""
    ended = _pins_of(commit, version)
    if commit.recall(change) is None:
        if not ended:
            raise NotFound(
                f"{version.model}/{version.number} is not pinned: `cachctl pins` shows what is"
            )
        for one in ended:
            _append(commit, EntryType.VERSION_UNPINNED, version, change, one.region)
    return ended


def _check(wanted: Sequence[str], keep_ms: int | None) -> None:
    if not 1 <= len(wanted) <= limits.REGIONS_MAX:
        raise InvalidInput(f"a version is pinned in 1 to {limits.REGIONS_MAX} regions")
    for region in wanted:
        if region != EVERY_REGION:
            RegionName.parse(region)
    if keep_ms is not None and not 0 < keep_ms <= limits.PIN_MS_MAX:
        days = limits.PIN_MS_MAX // 86_400_000
        raise InvalidInput(f"a pin lasts at most {days} days, or until it is ended")


def _append(
    commit: Draft, kind: EntryType, version: VersionRecord, change: Change, region: str,
    **more: int,
) -> None:  # fmt: skip
    model = ModelName(version.model)
    commit.append(
        kind,
        subjects.of_version(model, version.number),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before=None,
        after={"region": region, **more},
        change=change,
    )


def _pins_of(commit: Draft, version: VersionRecord) -> list[PrefetchRecord]:
    return [
        one for one in regions.pins(commit.txn)
        if (one.model, one.number) == (version.model, version.number)
    ]  # fmt: skip
