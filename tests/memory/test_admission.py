"""Who may come into memory, and who gives way: every small case, and properties of large ones."""

from __future__ import annotations

import itertools
import random

import pytest

from cachd.memory.admission import InMemory, Room, Verdict, admit, total
from cachd.memory.standing import MemoryPolicy, Standing
from registry_core.domain.identifiers import Digest

REFUSE, SHORTEN, EVICT = MemoryPolicy
PLENTY = 1 << 40


def version(name: int, standing: Standing, size: int = 10, since_s: float = 0.0) -> InMemory:
    return InMemory(Digest.of(b"%d" % name), standing, {bytes([name]): size}, since_s)


def digests(*versions: InMemory) -> tuple[Digest, ...]:
    return tuple(one.digest for one in versions)


COMING = version(0, Standing.NEEDED)


def test_what_fits_is_admitted_and_nobody_gives_way() -> None:
    for policy in MemoryPolicy:
        others = [version(n, standing) for n, standing in enumerate(Standing, 1)]
        found = admit(COMING, others, Room(80, PLENTY), policy)
        assert found == Verdict(True, 10, 10)


def test_the_machine_may_have_less_than_the_budget() -> None:
    assert admit(COMING, [], Room(PLENTY, 9), EVICT) == Verdict(False, 10, 9)
    assert admit(COMING, [], Room(PLENTY, 10), EVICT).fits
    victim = version(1, Standing.ROLLBACK)
    found = admit(COMING, [victim], Room(PLENTY, 4), EVICT)
    assert (found.free, found.give_way) == (4, digests(victim)), "what it frees counts"


def test_a_file_of_several_versions_counts_once() -> None:
    shared = {b"a": 70, b"b": 10}
    there = [
        InMemory(Digest.of(b"x"), Standing.NEEDED, shared),
        InMemory(Digest.of(b"y"), Standing.GRACE, shared | {b"c": 5}),
    ]
    assert total(there) == 85
    coming = InMemory(Digest.of(b"z"), Standing.NEEDED, {b"a": 70, b"d": 7})
    assert admit(coming, there, Room(92, PLENTY), REFUSE) == Verdict(True, 7, 7)
    found = admit(coming, there, Room(88, PLENTY), SHORTEN)
    assert (found.needs, found.free, found.give_way) == (7, 3, digests(there[1]))


def test_a_file_that_gives_way_and_is_needed_again_is_counted() -> None:
    victim = InMemory(Digest.of(b"x"), Standing.GRACE, {b"a": 10})
    coming = InMemory(Digest.of(b"z"), Standing.NEEDED, {b"a": 10, b"d": 7})
    assert admit(coming, [victim], Room(16, PLENTY), SHORTEN) == Verdict(False, 7, 6)


@pytest.mark.parametrize("policy", list(MemoryPolicy))
@pytest.mark.parametrize("coming", list(Standing))
@pytest.mark.parametrize("victim", list(Standing))
def test_who_may_give_way_for_whom(
    policy: MemoryPolicy, coming: Standing, victim: Standing
) -> None:
    other = version(1, victim)
    found = admit(version(0, coming), [other], Room(10, PLENTY), policy)
    may = {
        REFUSE: set(),
        SHORTEN: {Standing.GRACE},
        EVICT: {Standing.PREFETCHED, Standing.GRACE, Standing.ROLLBACK},
    }[policy] | {Standing.WARM}
    assert not found.fits
    assert found.give_way == (digests(other) if victim in may and victim < coming else ())


def test_the_oldest_of_the_lowest_go_first_and_no_more_than_needed() -> None:
    rollback = version(1, Standing.ROLLBACK, since_s=1)
    young, old = version(2, Standing.GRACE, since_s=9), version(3, Standing.GRACE, since_s=2)
    wished = version(4, Standing.PREFETCHED, since_s=99)
    there = [rollback, young, old, wished]
    for budget, going in (
        (49, digests(wished)), (30, digests(wished, old)), (20, digests(wished, old, young)),
        (10, digests(wished, old, young, rollback)), (9, ()),
    ):  # fmt: skip
        assert admit(COMING, there, Room(budget, PLENTY), EVICT).give_way == going
    small = version(5, Standing.PREFETCHED, size=1)
    found = admit(COMING, [small, old], Room(11, PLENTY), EVICT)
    assert found.give_way == digests(old), "the small one alone is not enough, and not needed"


def test_every_mixture_keeps_the_rules(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3_000):
        there = [
            InMemory(
                Digest.of(b"v%d" % n),
                rng.choice(list(Standing)),
                {bytes([rng.randrange(8)]): rng.randrange(1, 20) for _ in range(3)},
                rng.random(),
            )
            for n in range(rng.randrange(6))
        ]
        sizes = {root: size for one in there for root, size in one.files.items()}
        there = [
            InMemory(one.digest, one.standing, {r: sizes[r] for r in one.files}, one.since_s)
            for one in there
        ]
        files = {bytes([n]): sizes.get(bytes([n]), 5) for n in rng.sample(range(8), 3)}
        coming = InMemory(Digest.of(b"coming"), rng.choice(list(Standing)), files)
        room = Room(rng.randrange(1, 150), rng.randrange(1, 150))
        policy = rng.choice(list(MemoryPolicy))
        check(coming, there, room, policy)


def check(coming: InMemory, there: list[InMemory], room: Room, policy: MemoryPolicy) -> None:
    """Against all subsets of what may give way."""
    found = admit(coming, there, room, policy)

    def fits_without(gone: tuple[Digest, ...]) -> bool:
        left = [one for one in there if one.digest not in gone]
        available = room.available + total(there) - total(left)
        after = total([*left, coming])
        adds = after - total(left)
        return not adds or (after <= room.budget and adds <= available)

    assert found.fits == fits_without(())
    assert found.needs == total([*there, coming]) - total(there)
    may = [
        one.digest for one in there
        if one.standing in policy.gives_up and one.standing < coming.standing
    ]  # fmt: skip
    assert set(found.give_way) <= set(may)
    if found.fits:
        assert not found.give_way
    elif found.give_way:
        assert fits_without(found.give_way)
        for one in found.give_way:
            assert not fits_without(tuple(d for d in found.give_way if d != one)), "in vain"
    else:
        subsets = itertools.chain.from_iterable(
            itertools.combinations(may, n) for n in range(len(may) + 1)
        )
        assert not any(map(fits_without, subsets)), "it waits though it could come"
