"""Searches over the index give what going through all versions gives, page by page, in order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core.changes import versions
from registry_core.domain import limits
from registry_core.domain.identifiers import ModelName, StageName
from registry_core.domain.metadata import parse_metric
from registry_core.domain.search.filter import parse_filter
from registry_core.domain.search.match import matches
from registry_core.errors import Conflict, InvalidInput, NotFound
from registry_core.ledger import queries
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.records import VersionRecord
from registry_core.ledger.search import Query, _Stages, search
from tests.ledger.rig import CHANGE, MODEL, PRODUCTION, Books

FILTERS = [
    "", "tags.team = 'red'", "tags.team != 'red'", "tags.team LIKE 'r%'", "tags.team LIKE '%e%'",
    "tags.team ILIKE 'RE_'", "tags.team IN ('red', 'blue')", "tags.team IS NULL",
    "tags.team IS NOT NULL AND metrics.auc IS NULL", "metrics.auc > 0.5", "metrics.auc >= 0.5",
    "metrics.auc < 0.5 AND metrics.auc > -1", "metrics.auc = 0.5", "metrics.auc != 0.5",
    "metrics.auc > 0.2 AND tags.team = 'red'", "name = 'a'", "name LIKE 'a%'", "name != 'a'",
    "number >= 3", "number IN (1, 2)", "stage = 'production'", "stage != 'production'",
    "stage = 'staging' AND name = 'b'", "created > 1700000000050", "created <= '2023-11-15'",
    "created > 1700000000020 AND created < 1700000000090", "notes LIKE '%long%'",
    "lineage.dataset = 'd1'", "lineage.dataset LIKE 'd%'", "formats = 'other'", "bytes > 10",
    "tags.long = '" + "x" * 200 + "1'", "tags.long LIKE '" + "x" * 200 + "%'",
    "actor = 'tester' AND publisher != 'nobody'", "digest LIKE 'sha256:%'",
]  # fmt: skip
ORDERS = [
    "", "created", "created DESC", "metrics.auc", "metrics.auc DESC", "name, number",
    "name DESC, number DESC", "number DESC, name", "bytes DESC, created",
]  # fmt: skip


def annotate(books: Books, version: VersionRecord, **fields: object) -> None:
    said = {name.replace("__", "."): value for name, value in fields.items()}
    books.ledger.commit(
        lambda commit: versions.annotate_version(
            commit, ModelName(version.model), version.number, said, CHANGE
        )
    )


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Four models with some ten versions each, at random annotated, promoted and deleted."""
    folder: Path = tmp_path_factory.mktemp("search")
    store = LmdbStore(folder / "ledger")
    books = Books(store, folder / "origin")
    rng = random.Random(7)
    for name in ("a", "a-b", "ab", "b") * 10:
        version = books.add_version(ModelName(name))
        fields: dict[str, object] = {}
        if rng.random() < 0.7:
            fields["tags__team"] = rng.choice(["red", "Red", "blue", "r\0d", ""][:3])
        if rng.random() < 0.7:
            fields["metrics__auc"] = parse_metric(rng.choice([-0.5, 0, 0.25, 0.5, 0.75]))
        if rng.random() < 0.5:
            fields["lineage__dataset"] = rng.choice(["d1", "d2"])
        if rng.random() < 0.4:
            fields |= {"notes": "a long story", "tags__long": "x" * 200 + rng.choice("12")}
        if fields:
            annotate(books, version, **fields)
        if rng.random() < 0.3:
            books.promote(version, rng.choice([PRODUCTION, StageName("staging")]))
    for name, number in (("a", 1), ("b", 2), ("ab", 3)):
        try:
            books.ledger.commit(
                lambda c, n=name, v=number: versions.delete_version(c, ModelName(n), v, CHANGE)
            )
        except Conflict:
            continue
    assert books.check().clean
    yield books
    store.close()


def everything(books: Books, text: str) -> list[VersionRecord]:
    """What going through all versions gives."""
    terms = parse_filter(text)
    with books.store.read() as txn:
        stages = _Stages(txn)
        return [
            version
            for model in queries.models(txn)
            for version in queries.versions(txn, ModelName(model.name))
            if not version.deleted_ms
            and all(matches(stages.candidate(version), term) for term in terms)
        ]


def paged(books: Books, text: str, order: str, size: int) -> list[VersionRecord]:
    found, token = [], ""
    while True:
        with books.store.read() as txn:
            page = search(txn, Query.parse(text, order, size, token))
        assert len(page.versions) <= size
        found += page.versions
        token = page.next
        if not token:
            return found


def keys(found: list[VersionRecord]) -> list[tuple[str, int]]:
    return [(version.model, version.number) for version in found]


@pytest.mark.parametrize("text", FILTERS)
def test_every_order_and_page_size_finds_the_same(full: Books, text: str) -> None:
    expected = everything(full, text)
    for order in ORDERS:
        whole = paged(full, text, order, 1000)
        wanted = [v for v in expected if "metrics" not in order or "auc" in v.metrics]
        assert sorted(keys(whole)) == sorted(keys(wanted)), (order, "each once")
        for size in (1, 7):
            assert keys(paged(full, text, order, size)) == keys(whole), (order, size)


def test_orders(full: Books) -> None:
    values = [float(v.metrics["auc"]) for v in paged(full, "", "metrics.auc DESC", 5)]
    assert values == sorted(values, reverse=True)
    created = [v.created_ms for v in paged(full, "", "created", 5)]
    assert created == sorted(created)
    assert keys(paged(full, "", "name, number", 5)) == sorted(keys(paged(full, "", "", 9)))
    ours = paged(full, "tags.team = 'red'", "number DESC, name", 3)
    assert keys(ours) == sorted(keys(ours), key=lambda key: (-key[1], key[0]))
    newest = [v.created_ms for v in paged(full, "tags.team = 'red'", "", 2)]
    assert newest == sorted(newest, reverse=True), "newest first without an order"


def test_a_page_goes_on_where_it_ended_whatever_happens_meanwhile(books: Books) -> None:
    for _ in range(6):
        annotate(books, books.add_version(), tags__team="red")
    with books.store.read() as txn:
        first = search(txn, Query.parse("tags.team = 'red'", "", 2, ""))
    assert [v.number for v in first.versions] == [6, 5]
    annotate(books, books.add_version(), tags__team="red")
    books.ledger.commit(lambda commit: versions.delete_version(commit, MODEL, 4, CHANGE))
    with books.store.read() as txn:
        second = search(txn, Query.parse("tags.team = 'red'", "", 2, first.next))
    assert [v.number for v in second.versions] == [3, 2]


def test_a_token_of_another_search_is_refused(full: Books) -> None:
    with full.store.read() as txn:
        token = search(txn, Query.parse("", "", 3, "")).next
        for text, order, given in (("number > 1", "", token), ("", "created", token),
                                   ("", "", token[:-2] + "AA"), ("", "", "x" * 9000)):  # fmt: skip
            with pytest.raises(InvalidInput, match="page_token"):
                search(txn, Query.parse(text, order, 3, given))


def test_a_page_looks_at_no_more_than_its_share(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEARCH_STEPS_MAX", 3)
    for _ in range(8):
        books.add_version()
    assert [v.number for v in paged(books, "number = 1", "", 10)] == [1]
    with books.store.read() as txn:
        page = search(txn, Query.parse("number = 1", "", 10, ""))
    assert page.versions == []
    assert page.next, "short, and not the last"


def test_large_candidates_count_more(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEARCH_STEPS_MAX", 12)
    for _ in range(6):
        made = books.add_version()
        notes = {"notes": "x" * 5 * limits.SEARCH_STEP_BYTES}
        books.ledger.commit(
            lambda commit, number=made.number, notes=notes: versions.annotate_version(
                commit, MODEL, number, notes, CHANGE
            )
        )
    with books.store.read() as txn:
        page = search(txn, Query.parse("", "", 10, ""))
    assert (len(page.versions), bool(page.next)) == (2, True)
    assert len(paged(books, "", "", 10)) == 6


def test_an_order_that_takes_too_much_looking_is_refused(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEARCH_SORTED_STEPS_MAX", 3)
    for _ in range(4):
        books.add_version()
    with books.store.read() as txn, pytest.raises(InvalidInput, match="narrow the filter"):
        search(txn, Query.parse("number = 1", "bytes", 10, ""))


def test_deleted_versions_leave_a_tombstone(books: Books) -> None:
    one, two = books.add_version(), books.add_version()
    books.promote(one)
    books.promote(two)

    def delete(number: int) -> VersionRecord:
        return books.ledger.commit(
            lambda commit: versions.delete_version(commit, MODEL, number, CHANGE)
        )

    with pytest.raises(Conflict, match="m@production names it"):
        delete(1)
    three = books.add_version()
    gone = delete(three.number)
    assert gone.deleted_ms > 0
    with pytest.raises(NotFound, match="deleted"):
        delete(3)
    with pytest.raises(NotFound, match="deleted"):
        annotate(books, three, notes="x")
    assert books.add_version().number == 4, "a number is never used again"
    assert keys(everything(books, "")) == [("m", 1), ("m", 2), ("m", 4)]
    assert books.check().clean
