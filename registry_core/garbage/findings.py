"""Everything that a run of gc looks at, and what follows from it. Changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

from registry_core.control.garbage import GcReport, ModelGarbage
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest
from registry_core.garbage.documents import Orphan, find_orphans
from registry_core.garbage.expiry import Expired, dead_pushes
from registry_core.garbage.look import View, referenced_packs, view_ledger
from registry_core.garbage.origins import Leftover, Origins
from registry_core.garbage.plan import GcPlan, Seen, StoredPack, Waits, plan_packs, young_from_ms
from registry_core.ledger.ledger import Ledger
from registry_core.push.progress import Progress


@dataclass(frozen=True, slots=True)
class Terms:
    """How a run looks: `now_ms` is the store's clock unless it is given, `protected` are versions
    whose objects stay although they were deleted."""

    protected: Collection[Digest]
    waits: Waits
    now_ms: int | None
    progress: Progress
    cancel: threading.Event


@dataclass(frozen=True, slots=True)
class Findings:
    """`free` are the manifests whose documents may go."""

    view: View
    plan: GcPlan
    orphans: list[Orphan]
    expired: list[Expired]
    leftovers: list[Leftover]
    pushes_dead: int
    more: bool

    @property
    def free(self) -> list[Digest]:
        """An orphan's hint says whose packs these were: it stays until they are gone."""
        return [o.digest for o in self.orphans if o.packs.isdisjoint(self.plan.staying)]


def find_garbage(
    ledger: Ledger, origins: Origins, expired: list[Expired], terms: Terms
) -> Findings:
    """The ledger first, as if `expired` were deleted; then the hints; then the origins' objects."""
    view = view_ledger(ledger, [one.version for one in expired])
    now_ms = view.time_ms if terms.now_ms is None else terms.now_ms
    waits, protected = terms.waits, terms.protected
    dead = dead_pushes(view.pushes, now_ms - waits.push_ms)
    pushes = [record for push, record in view.pushes.items() if push not in dead]
    looked = protected, terms.progress, terms.cancel
    referenced = referenced_packs(origins.home, view.live.keys(), *looked)
    for region, origin in origins.others.items():
        referenced |= referenced_packs(origin, view.copies.get(region, set()), *looked)
    seen = Seen(now_ms, referenced, pushes, view.condemned)
    old_ms = young_from_ms(seen, waits)
    plan = plan_packs(origins.packs_beyond(referenced), seen, waits)
    kept = {*view.live, *protected, *(Digest.parse(p.manifest) for p in pushes if p.manifest)}
    orphans, more = find_orphans(origins, kept, old_ms, orphans_max=limits.GC_ORPHANS_MAX)
    half_ms = min(old_ms, now_ms - waits.half_ms)
    leftovers = [left for left in origins.leftovers() if left.found.modified_ms < half_ms]
    return Findings(view, plan, orphans, expired, leftovers, len(dead), more or plan.more)


def report(found: Findings, *, dry_run: bool) -> GcReport:
    """By model, as far as hints of deleted versions still say whose packs they were."""
    plan, models = found.plan, _Models()
    owners = {
        pack: found.view.deleted.get(orphan.digest, "")
        for orphan in found.orphans
        for pack in orphan.packs
    }
    for one in found.expired:
        models.of(one.version.model).versions_deleted.append(one.version.number)
    for pack in plan.condemn:
        owner = models.of(owners.get(pack.name, ""))
        owner.packs_condemned += 1
        owner.bytes_condemned += pack.bytes
    for pack in plan.delete:
        owner = models.of(owners.get(pack.name, ""))
        owner.packs_deleted += 1
        owner.bytes_deleted += pack.bytes
    return GcReport(
        dry_run=dry_run,
        models=models.sorted(),
        packs_condemned=len(plan.condemn),
        bytes_condemned=_bytes(plan.condemn),
        packs_deleted=len(plan.delete),
        bytes_deleted=_bytes(plan.delete),
        packs_waiting=len(plan.waiting),
        bytes_waiting=_bytes(plan.waiting),
        packs_pardoned=len(plan.pardon),
        documents_deleted=len(found.free),
        leftovers_deleted=len(found.leftovers),
        pushes_ended=found.pushes_dead,
        more=found.more,
    )


class _Models:
    def __init__(self) -> None:
        self._by_name: dict[str, ModelGarbage] = {}

    def of(self, name: str) -> ModelGarbage:
        return self._by_name.setdefault(name, ModelGarbage(name))

    def sorted(self) -> list[ModelGarbage]:
        return [self._by_name[name] for name in sorted(self._by_name)]


def _bytes(packs: list[StoredPack]) -> int:
    return sum(pack.bytes for pack in packs)
