"""What goes and what stays, for any versions, sharing, links and watermarks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachd import limits
from cachd.cache.eviction import Held, choose, to_free
from registry_core.domain.identifiers import Digest

ROOTS = [bytes([n]) * 32 for n in range(8)]


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


@st.composite
def caches(draw: st.DrawFn) -> tuple[list[Held], set[Digest], dict[bytes, int]]:
    """Versions on a disk, those that are kept, and what each file frees."""
    held = [
        Held(
            digest(number),
            draw(st.floats(0, 4)),
            frozenset(draw(st.sets(st.sampled_from(ROOTS), max_size=4))),
            draw(st.integers(0, 3)),
        )
        for number in range(draw(st.integers(0, 7)))
    ]
    kept = draw(st.sets(st.sampled_from([version.digest for version in held]))) if held else set()
    return held, kept, {root: draw(st.integers(0, 100)) for root in ROOTS}


def freed(held: list[Held], gone: set[Digest], freed_by: dict[bytes, int]) -> int:
    still = {root for version in held if version.digest not in gone for root in version.files}
    before = {root for version in held for root in version.files}
    own = sum(version.own_bytes for version in held if version.digest in gone)
    return own + sum(freed_by[root] for root in before - still)


@given(caches(), st.integers(0, 500))
def test_what_is_kept_stays_and_no_more_goes_than_must(
    cache: tuple[list[Held], set[Digest], dict[bytes, int]], wanted: int
) -> None:
    held, kept, freed_by = cache
    chosen = choose(held, kept, freed_by, wanted)
    assert len(set(chosen)) == len(chosen)
    assert not kept & set(chosen)
    if chosen:
        assert freed(held, set(chosen[:-1]), freed_by) < wanted, "the last one was needed"
    if freed(held, set(chosen), freed_by) < wanted:
        assert set(chosen) | kept == {version.digest for version in held}, "all that could go"


@given(caches(), st.integers(0, 500))
def test_the_least_recently_used_goes_first_unless_it_frees_nothing(
    cache: tuple[list[Held], set[Digest], dict[bytes, int]], wanted: int
) -> None:
    held, kept, freed_by = cache
    chosen = choose(held, kept, freed_by, wanted)
    pinned = {root for version in held if version.digest in kept for root in version.files}
    of = {version.digest: version for version in held}
    useful = {d for d in of if any(freed_by[root] for root in of[d].files - pinned)}
    for group in (useful, set(of) - useful):
        times = [of[d].used_s for d in chosen if d in group]
        assert times == sorted(times)
        spared = [of[d].used_s for d in group - kept - set(chosen)]
        assert not times or not spared or max(times) <= min(spared)
    pointless = [d in useful for d in chosen]
    assert pointless == sorted(pointless, reverse=True), "what frees nothing goes last"


@given(caches(), st.integers(0, 500), st.integers(0, 500))
def test_nothing_goes_in_vain(
    cache: tuple[list[Held], set[Digest], dict[bytes, int]], wanted: int, more: int
) -> None:
    held, kept, freed_by = cache
    chosen = choose(held, kept, freed_by, wanted + more, wanted)
    assert not chosen or freed(held, set(chosen), freed_by) >= wanted


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**6))
def test_eviction_begins_above_the_high_watermark_and_ends_at_the_low(
    used: int, coming: int, limit: int
) -> None:
    wanted = to_free(used, coming, limit)
    if used + coming <= limit * limits.CACHE_HIGH:
        assert wanted == 0
    else:
        assert used + coming - wanted <= limit * limits.CACHE_LOW


def test_twins_go_together_when_only_both_free_their_file() -> None:
    """Each alone frees nothing while the other is there; the younger one is still the better."""
    held = [Held(digest(n), float(n), frozenset([ROOTS[0]]), 0) for n in (1, 2)]
    assert choose(held, set(), {ROOTS[0]: 10}, 5) == [digest(1), digest(2)]
    assert choose(held, {digest(2)}, {ROOTS[0]: 10}, 5) == [digest(1)]
