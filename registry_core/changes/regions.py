"""Adding and removing regions; which versions their origins hold, and which nodes are to bring."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from registry_core.changes import garbage
from registry_core.changes.versions import require_there
from registry_core.domain import limits
from registry_core.domain.entry import REGISTRY_TAG, EntryType
from registry_core.domain.identifiers import Digest, ModelName, RegionName
from registry_core.domain.packs import PackName
from registry_core.domain.region import EVERY_REGION, Region
from registry_core.errors import Condemned, Conflict, InvalidInput
from registry_core.ledger import queries, regions, subjects
from registry_core.ledger.change import Change
from registry_core.ledger.draft import Draft
from registry_core.ledger.records import CopyRecord, PrefetchRecord, RegionRecord, VersionRecord


def add_region(commit: Draft, region: Region, change: Change) -> RegionRecord:
    """The same again has no effect; another origin under the name is a Conflict."""
    if commit.recall(change) is None:
        known = list(regions.regions(commit.txn))
        same = next((one for one in known if one.name == region.name.text), None)
        if same is not None:
            if (same.url, same.options) != (region.url, dict(region.options)):
                raise Conflict(
                    f"region {region.name} has its origin at {same.url}: remove it first, then "
                    "copy again what it is to hold"
                )
            return same
        _refuse_known(commit, region, known)
        commit.append(
            EntryType.REGION_ADDED,
            subjects.of_region(region.name),
            tag=REGISTRY_TAG,
            before=None,
            after={"url": region.url, "options": dict(region.options)},
            change=change,
        )
    return regions.region(commit.txn, region.name)


def remove_region(commit: Draft, name: RegionName, change: Change) -> None:
    """Its nodes go on with the home region's origin. What its origin holds stays there."""
    if commit.recall(change) is None:
        known = regions.region(commit.txn, name)
        commit.append(
            EntryType.REGION_REMOVED,
            subjects.of_region(name),
            tag=REGISTRY_TAG,
            before={"url": known.url, "options": known.options},
            after=None,
            change=change,
        )


def record_copy(
    commit: Draft, version: VersionRecord, name: RegionName, push: bytes,
    packs: Collection[PackName], change: Change,
) -> CopyRecord:  # fmt: skip
    """The origin of the region holds all of the version, whose chunks lie in `packs`, as was seen
    while the copying, announced as a push, was under way. Ends that push."""
    model, digest = ModelName(version.model), Digest.parse(version.digest)
    if commit.recall(change) is None:
        garbage.require_push(commit.txn, model, digest, push)
        _refuse_condemned(commit, version, packs)
        require_there(queries.version(commit.txn, model, version.number))
        garbage.end_push(commit, model, push, change)
        regions.region(commit.txn, name)
        if regions.find_copy(commit.txn, name, model, version.number) is None:
            _append_copy(commit, EntryType.VERSION_REPLICATED, version, name, change)
    found = regions.find_copy(commit.txn, name, model, version.number)
    if found is None:
        raise Conflict(f"{model}/{version.number} was withdrawn from {name} since: copy it again")
    return found


def withdraw_copy(commit: Draft, version: VersionRecord, name: RegionName, change: Change) -> None:
    """The origin of the region lacks some of the version. Withdrawing again has no effect."""
    model = ModelName(version.model)
    if regions.find_copy(commit.txn, name, model, version.number) is not None:
        _append_copy(commit, EntryType.VERSION_WITHDRAWN, version, name, change)


def ask_prefetch(
    commit: Draft, version: VersionRecord, wanted: Sequence[str], keep_ms: int, change: Change
) -> list[PrefetchRecord]:
    """The wishes, one per region in `wanted` (`*`: all of them)."""
    model = ModelName(version.model)
    if not 1 <= len(wanted) <= limits.REGIONS_MAX:
        raise InvalidInput(f"a version is prefetched into 1 to {limits.REGIONS_MAX} regions")
    for region in wanted:
        if region != EVERY_REGION:
            RegionName.parse(region)
    if not 0 < keep_ms <= limits.PREFETCH_MS_MAX:
        days = limits.PREFETCH_MS_MAX // 86_400_000
        raise InvalidInput(f"a prefetch is kept for at most {days} days, and some time at least")
    if commit.recall(change) is None:
        require_there(queries.version(commit.txn, model, version.number))
        alive = [one for one in regions.wishes(commit.txn) if one.until_ms > commit.time_ms]
        if len(alive) + len(wanted) > limits.PREFETCHES_MAX:
            raise Conflict(f"{limits.PREFETCHES_MAX} prefetches are open: wait until some expire")
        for region in dict.fromkeys(wanted):
            commit.append(
                EntryType.PREFETCH_ASKED,
                subjects.of_version(model, version.number),
                tag=bytes.fromhex(queries.model(commit.txn, model).tag),
                before=None,
                after={"region": region, "until": commit.time_ms + keep_ms},
                change=change,
            )
    return [
        one for one in regions.prefetches(commit.txn)
        if (one.model, one.number) == (model.text, version.number) and one.region in wanted
    ]  # fmt: skip


def _refuse_condemned(commit: Draft, version: VersionRecord, packs: Collection[PackName]) -> None:
    try:
        garbage.refuse_condemned(commit.txn, packs)
    except Condemned as error:
        raise Condemned(
            f"a pack of {version.model}/{version.number} was condemned while it was copied: "
            "`cachctl gc` pardons it, then copy again"
        ) from error


def _refuse_known(commit: Draft, region: Region, known: Sequence[RegionRecord]) -> None:
    if region.name == regions.home_region(commit.txn):
        raise Conflict(f"{region.name} is the home region: its origin is the one pushed to")
    if len(known) >= limits.REGIONS_MAX:
        raise Conflict(f"there are {limits.REGIONS_MAX} regions: remove some")
    taken = next((one.name for one in known if one.url == region.url), None)
    if taken is not None:
        raise Conflict(f"{region.url} is the origin of region {taken}: each region has its own")


def _append_copy(
    commit: Draft, kind: EntryType, version: VersionRecord, name: RegionName, change: Change
) -> None:
    model = ModelName(version.model)
    commit.append(
        kind,
        subjects.of_version(model, version.number),
        tag=bytes.fromhex(queries.model(commit.txn, model).tag),
        before=None,
        after={"region": name.text},
        change=change,
    )
