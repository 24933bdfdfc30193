"""What gc does with the packs of an origin, decided from what was seen. Pure: no I/O, no clock.

Never condemned or deleted: a pack that is referred to, and one that is young, which is as young as
the look at the ledger, or as the oldest push under way, less what clocks may be apart. A condemned
pack goes when it was left alone for long enough and every push from before its condemnation has
ended; one that is referred to after all is pardoned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from registry_core.domain import limits
from registry_core.domain.packs import PackName
from registry_core.ledger.records import CondemnedRecord, IntentRecord


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack as the origin lists it; `modified_ms` is by the origin's clock."""

    name: PackName
    bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Waits:
    """How long things are left alone."""

    condemned_ms: int = limits.CONDEMNED_MS_MIN
    push_ms: int = limits.INTENT_MS_MAX
    margin_ms: int = limits.GC_MARGIN_MS
    """How far the clocks of origin and ledger may be apart."""
    half_ms: int = limits.CONDEMNED_MS_MIN
    """How long a half-written object is left to its writer, who may have announced nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The ledger at one moment, before the origin was listed, and what all hints refer to.
    `now_ms` is that moment by the ledger's clock."""

    now_ms: int
    referenced: Collection[PackName]
    pushes: Collection[IntentRecord]
    condemned: Mapping[PackName, CondemnedRecord]


@dataclass(slots=True)
class GcPlan:
    condemn: list[StoredPack] = field(default_factory=list)
    delete: list[StoredPack] = field(default_factory=list)
    """Condemned before, and ripe. What is gone from the origin already has 0 bytes."""
    pardon: list[PackName] = field(default_factory=list)
    waiting: list[StoredPack] = field(default_factory=list)
    staying: set[PackName] = field(default_factory=set)
    """All that nothing refers to and that is still there when the plan was carried out."""
    more: bool = False


def plan_packs(
    packs: Iterable[StoredPack], seen: Seen, waits: Waits, *, packs_max: int = limits.GC_PACKS_MAX
) -> GcPlan:
    """What to do with the origin's `packs`, each listed once."""
    plan = GcPlan(pardon=[name for name in seen.condemned if name in seen.referenced])
    old_ms = young_from_ms(seen, waits)
    there: set[PackName] = set()
    for pack in packs:
        if pack.name in seen.referenced:
            continue
        if pack.name in seen.condemned:
            there.add(pack.name)
            _judge_condemned(plan, pack, seen, waits)
        elif pack.modified_ms < old_ms and len(plan.condemn) < packs_max:
            plan.condemn.append(pack)
            plan.staying.add(pack.name)
        else:
            plan.more = plan.more or pack.modified_ms < old_ms
            plan.staying.add(pack.name)
    for name in seen.condemned:
        if name not in there and name not in seen.referenced:
            _judge_condemned(plan, StoredPack(name, 0, 0), seen, waits)
    for pack in plan.delete[packs_max:]:
        plan.staying.add(pack.name)
    plan.more = plan.more or len(plan.delete) > packs_max
    del plan.delete[packs_max:]
    return plan


def young_from_ms(seen: Seen, waits: Waits) -> int:
    """What was written from then on may belong to a push that is under way."""
    begun = [push.time_ms for push in seen.pushes]
    return min([seen.now_ms, *begun]) - waits.margin_ms


def _judge_condemned(plan: GcPlan, pack: StoredPack, seen: Seen, waits: Waits) -> None:
    known = seen.condemned[pack.name]
    old = seen.now_ms - known.time_ms >= waits.condemned_ms
    if old and all(push.sequence > known.sequence for push in seen.pushes):
        plan.delete.append(pack)
    else:
        plan.waiting.append(pack)
        plan.staying.add(pack.name)
