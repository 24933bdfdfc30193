"""What the ledger and the hints in the origin refer to, at one moment.

The ledger is looked at first, then the hints, then the origin is listed: what a push makes after
the first look is younger than it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from registry_core.changes import garbage
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest, ModelName, RegionName
from registry_core.domain.packs import PackName, decode_hint
from registry_core.errors import Conflict, IntegrityError, InvalidInput, NotFound
from registry_core.ledger import log, queries, regions
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.records import CondemnedRecord, IntentRecord, VersionRecord
from registry_core.ledger.store import Reader
from registry_core.origin.layout import hint_key
from registry_core.origin.store import Origin
from registry_core.push.progress import Progress

HINTS_PHASE = "hints of versions"  # told in hints
_THREADS = 8
_TOLD_MAX = 5


@dataclass(frozen=True, slots=True)
class View:
    """The ledger at one position of its log. Deleted versions are named by their model; `copies`
    are the live versions that each region's origin holds."""

    position: int
    time_ms: int
    live: dict[Digest, str]
    deleted: dict[Digest, str]
    pushes: dict[bytes, IntentRecord]
    condemned: dict[PackName, CondemnedRecord]
    copies: dict[str, set[Digest]]


class Cancelled(Conflict):
    """gc was asked to stop. What it had done is done; run it again."""


def view_ledger(ledger: Ledger, expired: Collection[VersionRecord] = ()) -> View:
    """As if the versions in `expired` were deleted."""
    gone = {(version.model, version.number) for version in expired}
    live: dict[Digest, str] = {}
    deleted: dict[Digest, str] = {}
    with ledger.read() as txn:
        for model in queries.models(txn):
            for version in queries.versions(txn, ModelName(model.name)):
                there = not version.deleted_ms and (model.name, version.number) not in gone
                side = live if there else deleted
                side[Digest.parse(version.digest)] = model.name
        copies = {
            region.name: set(_held(txn, RegionName(region.name))) & live.keys()
            for region in regions.regions(txn)
        }
        return View(
            log.log_size(txn), txn.time_ms(), live, deleted, garbage.pushes(txn),
            garbage.condemned(txn), copies,
        )  # fmt: skip


def _held(txn: Reader, region: RegionName) -> Iterator[Digest]:
    for copy in regions.copies_in(txn, region):
        yield Digest.parse(queries.version(txn, ModelName(copy.model), copy.number).digest)


def referenced_packs(
    origin: Origin,
    live: Collection[Digest],
    protected: Collection[Digest],
    progress: Progress,
    cancel: threading.Event,
) -> set[PackName]:
    """The packs that hints name. Of a live version that has no readable hint nobody knows what it
    needs, so that is an error; of a protected one that was deleted it means that it has gone."""
    packs: set[PackName] = set()
    lost: list[Digest] = []
    wanted = [*live, *(digest for digest in protected if digest not in live)]
    for number, (digest, found) in enumerate(read_hints(origin, wanted), start=1):
        refuse_cancelled(cancel)
        if found is not None:
            packs |= found
        elif digest in live:
            lost.append(digest)
        progress(HINTS_PHASE, number, len(wanted))
    if lost:
        named = ", ".join(str(digest) for digest in lost[:_TOLD_MAX])
        raise IntegrityError(
            f"the hints of {len(lost)} version(s) are missing or damaged in {origin.url}, so "
            "nobody knows what they need and nothing goes: run `cachctl origin verify --repair` "
            f"({named})"
        )
    return packs


def read_hints(
    origin: Origin, digests: Iterable[Digest]
) -> Iterator[tuple[Digest, set[PackName] | None]]:
    """The packs that each hint names, several read at a time; None where it cannot be read."""
    rest = iter(digests)
    with ThreadPoolExecutor(_THREADS, "hints") as pool:
        running: set[Future[tuple[Digest, set[PackName] | None]]] = set()
        while True:
            for digest in islice(rest, 2 * _THREADS - len(running)):
                running.add(pool.submit(_read_hint, origin, digest))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def refuse_cancelled(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise Cancelled("gc was asked to stop: what it had done is done; run it again")


def _read_hint(origin: Origin, digest: Digest) -> tuple[Digest, set[PackName] | None]:
    try:
        hint = decode_hint(origin.get(hint_key(digest), bytes_max=limits.HINT_MAX))
        return digest, {place.pack for place in hint.values()}
    except (NotFound, InvalidInput):
        return digest, None
