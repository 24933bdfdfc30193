"""Regions, copies and prefetches in the ledger, on each backend; and what replay refuses."""

from __future__ import annotations

import pytest

from registry_core.changes import garbage, pins
from registry_core.changes.regions import (
    add_region,
    ask_prefetch,
    record_copy,
    remove_region,
    withdraw_copy,
)
from registry_core.changes.versions import delete_version
from registry_core.domain import limits
from registry_core.domain.entry import EntryType
from registry_core.domain.identifiers import Digest, RegionName
from registry_core.domain.packs import PackName
from registry_core.domain.region import Region
from registry_core.errors import Condemned, Conflict, InvalidInput, NotFound
from registry_core.ledger import regions
from registry_core.ledger.change import Change
from registry_core.ledger.memory_store import MemoryStore
from registry_core.ledger.records import CopyRecord, PrefetchRecord, VersionRecord
from registry_core.ledger.replica import Replica
from tests.ledger.rig import CHANGE, MODEL, ROOT, Books

EU, US = RegionName("eu"), RegionName("us")
DAY_MS = 24 * 3600 * 1000


def region(name: RegionName, url: str = "", **options: str) -> Region:
    return Region.parse(name, url or f"s3://models-{name}", options)


def add(books: Books, *names: RegionName) -> None:
    for name in names:
        books.ledger.commit(lambda commit, name=name: add_region(commit, region(name), CHANGE))


def copy(books: Books, version: VersionRecord, name: RegionName) -> CopyRecord:
    """As a copying that was announced, with no packs to speak of."""
    digest = Digest.parse(version.digest)
    push = books.ledger.commit(lambda commit: garbage.begin_push(commit, MODEL, digest, CHANGE))
    return books.ledger.commit(
        lambda commit: record_copy(commit, version, name, push.id, [], CHANGE)
    )


def held(books: Books, version: VersionRecord) -> list[str]:
    return [one.region for one in books.control.regions.copies(MODEL, version.number)]


def test_a_region_is_added_once_and_removed_with_what_it_held(books: Books) -> None:
    add(books, EU, US, EU)
    known = books.control.regions.known()
    assert (known.home, [one.name for one in known.others]) == ("local", ["eu", "us"])
    other = region(EU, "s3://elsewhere")
    with pytest.raises(Conflict, match="remove it first"):
        books.ledger.commit(lambda commit: add_region(commit, other, CHANGE))
    taken = region(RegionName("asia"), "s3://models-eu")
    with pytest.raises(Conflict, match="each region has its own"):
        books.ledger.commit(lambda commit: add_region(commit, taken, CHANGE))
    local = region(RegionName("local"))
    with pytest.raises(Conflict, match="home region"):
        books.ledger.commit(lambda commit: add_region(commit, local, CHANGE))
    version = books.add_version()
    copy(books, version, EU)
    copy(books, version, US)
    assert held(books, version) == ["eu", "us"]
    books.ledger.commit(lambda commit: remove_region(commit, EU, CHANGE))
    assert held(books, version) == ["us"]
    with pytest.raises(NotFound, match="no region eu"):
        books.ledger.commit(lambda commit: remove_region(commit, EU, CHANGE))
    add(books, EU)
    assert held(books, version) == ["us"], "what it held before counts no more"


def test_a_copy_is_announced_recorded_once_and_withdrawn(books: Books) -> None:
    add(books, EU)
    version = books.add_version()
    first, size = copy(books, version, EU), books.ledger.size()
    assert copy(books, version, EU) == first
    assert books.ledger.size() == size + 2, "a push that began and ended, and no second copy"
    with pytest.raises(Conflict, match="push again"):
        books.ledger.commit(lambda commit: record_copy(commit, version, EU, bytes(16), [], CHANGE))
    for _ in range(2):
        books.ledger.commit(lambda commit: withdraw_copy(commit, version, EU, CHANGE))
    assert held(books, version) == []
    assert books.ledger.size() == size + 3


def test_no_copy_of_what_is_deleted_or_condemned(books: Books) -> None:
    add(books, EU)
    version, pack = books.add_version(), PackName(bytes(32))
    digest = Digest.parse(version.digest)
    push = books.ledger.commit(lambda commit: garbage.begin_push(commit, MODEL, digest, CHANGE))
    books.ledger.commit(lambda commit: garbage.condemn(commit, [pack], CHANGE))
    with pytest.raises(Condemned):
        books.ledger.commit(
            lambda commit: record_copy(commit, version, EU, push.id, [pack], CHANGE)
        )
    books.ledger.commit(lambda commit: garbage.forget(commit, [pack], CHANGE, pardoned=True))
    books.ledger.commit(lambda commit: delete_version(commit, MODEL, version.number, CHANGE))
    with pytest.raises(NotFound, match="was deleted"):
        books.ledger.commit(
            lambda commit: record_copy(commit, version, EU, push.id, [pack], CHANGE)
        )


def test_a_deleted_version_is_nowhere_and_wanted_nowhere(books: Books) -> None:
    add(books, EU, US)
    version, other = books.add_version(), books.add_version()
    for one in (version, other):
        copy(books, one, EU)
        books.ledger.commit(
            lambda commit, one=one: ask_prefetch(commit, one, ["eu", "*"], DAY_MS, CHANGE)
        )
    books.ledger.commit(lambda commit: delete_version(commit, MODEL, version.number, CHANGE))
    assert (held(books, version), held(books, other)) == ([], ["eu"])
    with books.store.read() as txn:
        assert {one.number for one in regions.prefetches(txn)} == {other.number}


def test_a_wish_ends_by_its_time_and_leaves_with_the_next(books: Books) -> None:
    version = books.add_version()
    short = books.ledger.commit(lambda commit: ask_prefetch(commit, version, ["eu"], 1, CHANGE))
    books.add_version()  # the clock of the test moves on with every commit
    books.ledger.commit(lambda commit: ask_prefetch(commit, version, ["us"], DAY_MS, CHANGE))
    with books.store.read() as txn:
        assert [one.region for one in regions.prefetches(txn)] == ["us"]
    assert [one.region for one in short] == ["eu"]
    again = books.ledger.commit(
        lambda commit: ask_prefetch(commit, version, ["us"], 2 * DAY_MS, CHANGE)
    )
    assert again[0].until_ms > books.ledger.size() + DAY_MS
    for wanted, keep_ms in (([], 1), (["eu"], 0), (["eu"], limits.PREFETCH_MS_MAX + 1)):
        with pytest.raises(InvalidInput):
            books.ledger.commit(
                lambda commit, w=wanted, k=keep_ms: ask_prefetch(commit, version, w, k, CHANGE)
            )


def test_a_pin_stands_beside_a_prefetch_until_it_ends(books: Books) -> None:
    version = books.add_version()

    def pin(keep_ms: int | None, wanted: tuple[str, ...] = ("eu",)) -> list[PrefetchRecord]:
        return books.ledger.commit(
            lambda commit: pins.pin(commit, version, wanted, keep_ms, CHANGE)
        )

    def alive() -> list[tuple[str, bool]]:
        with books.store.read() as txn:
            return [(one.region, one.pinned) for one in regions.wishes(txn)]

    books.ledger.commit(lambda commit: ask_prefetch(commit, version, ["eu"], DAY_MS, CHANGE))
    assert pin(1)[0].until_ms < limits.NO_END_MS
    books.add_version()  # the clock of the test moves on with every commit
    assert pin(None, ("us", "*"))[0].until_ms == limits.NO_END_MS
    assert sorted(alive()) == [("*", True), ("eu", False), ("us", True)]
    ended = books.ledger.commit(lambda commit: pins.unpin(commit, version, CHANGE))
    assert {one.region for one in ended} == {"us", "*"}
    assert alive() == [("eu", False)]
    with pytest.raises(NotFound, match="cachctl pins"):
        books.ledger.commit(lambda commit: pins.unpin(commit, version, CHANGE))
    for keep_ms, wanted in ((0, ("eu",)), (limits.PIN_MS_MAX + 1, ("eu",)), (None, ())):
        with pytest.raises(InvalidInput):
            pin(keep_ms, wanted)
    pin(None)
    replica = Replica(MemoryStore(), ROOT)
    replica.apply(books.records(), books.note())
    with replica.read() as txn:
        assert [one.region for one in regions.pins(txn)] == ["eu"]
    books.ledger.commit(lambda commit: delete_version(commit, MODEL, version.number, CHANGE))
    assert alive() == []


def test_a_request_repeated_changes_nothing(books: Books) -> None:
    change = Change("tester", "", "key-1", "ab" * 32)
    made = [
        books.ledger.commit(lambda commit: add_region(commit, region(EU), change)) for _ in range(2)
    ]
    assert made[0] == made[1]
    version = books.add_version()
    wish = Change("tester", "", "key-2", "ab" * 32)
    asked = [
        books.ledger.commit(lambda commit: ask_prefetch(commit, version, ["eu"], DAY_MS, wish))
        for _ in range(2)
    ]
    assert asked[0] == asked[1]


def test_a_replica_comes_to_the_same(books: Books) -> None:
    add(books, EU)
    version = books.add_version()
    copy(books, version, EU)
    books.ledger.commit(lambda commit: ask_prefetch(commit, version, ["*"], DAY_MS, CHANGE))
    replica = Replica(MemoryStore(), ROOT)
    replica.apply(books.records(), books.note())
    with replica.read() as txn:
        assert [one.url for one in regions.regions(txn)] == ["s3://models-eu"]
        assert [one.region for one in regions.copies(txn, MODEL, version.number)] == ["eu"]
        assert [one.region for one in regions.prefetches(txn)] == ["*"]
    kinds = {record.entry().type for record in books.records()}
    assert {EntryType.REGION_ADDED, EntryType.VERSION_REPLICATED} <= kinds


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("", {}),
        ("models", {}),
        ("s3://key:secret@models", {}),
        ("https://account.blob.core.windows.net/c?sig=abc", {}),
        ("s3://models\n", {}),
        ("s3://" + "m" * limits.REGION_URL_CHARS_MAX, {}),
        ("s3://models", []),
        ("s3://models", {"endpoint": 1}),
        ("s3://models", {"end point": "x"}),
        ("s3://models", {"aws_secret_access_key": "x"}),
        ("s3://models", {"access_key_id": "x"}),
        ("az://models", {"sas_token": "x"}),
        ("s3://models", {"proxy_url": "http://user:word@proxy"}),
        ("s3://models", {"endpoint": "x" * (limits.REGION_OPTION_CHARS_MAX + 1)}),
        ("s3://models", {f"o{n}": "" for n in range(limits.REGION_OPTIONS_MAX + 1)}),
    ],
)
def test_what_is_no_origin_or_tells_a_secret(url: str, options: object) -> None:
    with pytest.raises(InvalidInput):
        Region.parse(EU, url, options)


def test_what_an_origin_is_opened_with() -> None:
    options = {"endpoint": "http://127.0.0.1:7480", "region": "us-east-1", "allow_http": "true"}
    assert Region.parse(EU, "s3://models/team", options).options == options
