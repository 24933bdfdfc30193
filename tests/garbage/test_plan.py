"""The planner: by tables, and never against what is referred to or young, whatever it is given."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.domain.packs import PackName
from registry_core.garbage.plan import GcPlan, Seen, StoredPack, Waits, plan_packs, young_from_ms
from registry_core.ledger.records import CondemnedRecord, IntentRecord

NOW, WAITS = 100_000, Waits(condemned_ms=1_000, push_ms=50_000, margin_ms=500)


def name(number: int) -> PackName:
    return PackName(number.to_bytes(32, "big"))


def push(time_ms: int, sequence: int) -> IntentRecord:
    return IntentRecord("m", "a", time_ms, sequence, "")


P = name(1)
OLD, YOUNG = NOW - 501, NOW - 500
RIPE, UNRIPE = CondemnedRecord(NOW - 1_000, 10), CondemnedRecord(NOW - 999, 10)


@pytest.mark.parametrize(
    ("what", "modified_ms", "referenced", "pushes", "condemned", "fate"),
    [
        ("old and unknown", OLD, False, [], None, "condemn"),
        ("as young as the look", YOUNG, False, [], None, "stays"),
        ("from the future", NOW + 9_999, False, [], None, "stays"),
        ("referred to", OLD, True, [], None, "kept"),
        ("older than the look, younger than a push", OLD, False, [push(OLD, 3)], None, "stays"),
        ("older than every push", OLD - 501, False, [push(OLD, 3)], None, "condemn"),
        ("ripe", OLD, False, [], RIPE, "delete"),
        ("condemned, and young, cannot be: its clock is wrong", YOUNG, False, [], RIPE, "delete"),
        ("not yet ripe", OLD, False, [], UNRIPE, "waits"),
        ("ripe, but a push is from before", OLD, False, [push(1, 9)], RIPE, "waits"),
        ("ripe, and all pushes know", OLD, False, [push(NOW, 11)], RIPE, "delete"),
        ("condemned and needed", OLD, True, [], RIPE, "pardon"),
        ("condemned, needed, not ripe", OLD, True, [push(1, 1)], UNRIPE, "pardon"),
        ("ripe and gone already", None, False, [], RIPE, "delete"),
        ("gone, and a push is from before", None, False, [push(1, 9)], RIPE, "waits"),
        ("gone and needed", None, True, [], RIPE, "pardon"),
    ],
)
def test_fates(
    what: str, modified_ms: int | None, referenced: bool, pushes: list[IntentRecord],
    condemned: CondemnedRecord | None, fate: str,
) -> None:  # fmt: skip
    packs = [] if modified_ms is None else [StoredPack(P, 7, modified_ms)]
    known = {} if condemned is None else {P: condemned}
    plan = plan_packs(packs, Seen(NOW, {P} if referenced else set(), pushes, known), WAITS)
    assert fate_of(plan, P) == fate, what
    assert (P in plan.staying) == (fate in ("condemn", "stays", "waits")), what
    assert not plan.more


def fate_of(plan: GcPlan, pack: PackName) -> str:
    sides: dict[str, Collection[PackName]] = {
        "condemn": [one.name for one in plan.condemn],
        "delete": [one.name for one in plan.delete],
        "pardon": plan.pardon,
        "waits": [one.name for one in plan.waiting],
    }
    found = [side for side, names in sides.items() if pack in names]
    assert len(found) <= 1, found
    return found[0] if found else "stays" if pack in plan.staying else "kept"


def test_a_run_is_bounded_and_says_that_there_is_more() -> None:
    packs = [StoredPack(name(number), 1, OLD) for number in range(20)]
    condemned = {name(number): RIPE for number in range(10, 20)}
    plan = plan_packs(packs, Seen(NOW, set(), [], condemned), WAITS, packs_max=4)
    assert (len(plan.condemn), len(plan.delete), plan.more) == (4, 4, True)
    gone = {one.name for one in plan.delete}
    assert plan.staying == {one.name for one in packs} - gone


names = st.integers(0, 12).map(name)
times = st.integers(NOW - 3_000, NOW + 1_000)
sequences = st.integers(1, 30)
stored = st.builds(StoredPack, names, st.integers(0, 9), times)


@settings(max_examples=400)
@given(
    packs=st.lists(stored, unique_by=lambda pack: pack.name),
    referenced=st.sets(names),
    pushes=st.lists(st.builds(push, times, sequences), max_size=4),
    condemned=st.dictionaries(names, st.builds(CondemnedRecord, times, sequences)),
    waits=st.builds(Waits, st.integers(0, 2_000), st.just(9), st.integers(0, 2_000)),
    packs_max=st.integers(1, 5),
)  # fmt: skip
def test_whatever_it_is_given(
    packs: list[StoredPack], referenced: set[PackName], pushes: list[IntentRecord],
    condemned: dict[PackName, CondemnedRecord], waits: Waits, packs_max: int,
) -> None:  # fmt: skip
    seen = Seen(NOW, referenced, pushes, condemned)
    plan = plan_packs(packs, seen, waits, packs_max=packs_max)
    for one in plan.condemn:
        assert one.name not in referenced
        assert one.name not in condemned, "once is enough"
        assert one.modified_ms < young_from_ms(seen, waits)
    for one in plan.delete:
        assert one.name not in referenced
        known = condemned[one.name]
        assert NOW - known.time_ms >= waits.condemned_ms
        assert all(push.sequence > known.sequence for push in pushes)
    assert set(plan.pardon) == condemned.keys() & referenced
    there = {one.name for one in packs}
    deleted = {one.name for one in plan.delete}
    assert there - referenced - deleted <= plan.staying <= (there | condemned.keys()) - referenced
    for pack in there | condemned.keys():
        fate_of(plan, pack)
    assert max(len(plan.condemn), len(plan.delete)) <= packs_max
