"""What every store promises. One suite for all of them; a backend that fails it is not used."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.memory_store import MemoryStore, Overlay
from registry_core.ledger.postgres_store import PostgresStore
from registry_core.ledger.store import Store, Table, Writer

KEYS = [
    b"a",
    b"a\0",
    b"a\0b",
    b"a\xff",
    b"a\xff\xff",
    b"ab",
    b"b",
    b"b\xff",
    b"c",
    b"\xff",
    b"\xff\xff",
]
AFTERS = [None, b"0", *KEYS, b"zz", b"\xff\xff\xff"]
PREFIXES = [b"", b"a", b"a\0", b"a\xff", b"b", b"d", b"\xff"]


def open_store(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    if "postgres" in kind:
        return PostgresStore(request.getfixturevalue("postgres").new_database())
    return LmdbStore(folder / "ledger") if "lmdb" in kind else MemoryStore()


@pytest.fixture(params=["lmdb", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = open_store(request.param, request, tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["lmdb", "memory", "postgres", "overlay of lmdb", "overlay of memory",
                        "overlay of postgres"])  # fmt: skip
def begin(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], AbstractContextManager[Writer]]]:
    """Begins a transaction that sees what it wrote; half of what it holds may lie beneath it."""
    kind: str = request.param
    made = open_store(kind, request, tmp_path)

    @contextmanager
    def overlay() -> Iterator[Writer]:
        with made.write() as txn:
            for number, key in enumerate(KEYS[::2]):
                txn.put(Table.MODELS, key, b"beneath %d" % number)
            txn.put(Table.MODELS, b"aa deleted above", b"x")
        with made.read() as txn:
            above = Overlay(txn)
            above.delete(Table.MODELS, b"aa deleted above")
            for key in KEYS[::2]:
                above.delete(Table.MODELS, key)
            yield above

    yield overlay if "overlay" in kind else made.write
    made.close()


def test_put_get_delete(begin: Callable[[], AbstractContextManager[Writer]]) -> None:
    with begin() as txn:
        assert txn.get(Table.MODELS, b"a") is None
        txn.put(Table.MODELS, b"a", b"1")
        assert txn.get(Table.MODELS, b"a") == b"1"
        assert txn.get(Table.STAGES, b"a") is None, "tables are apart"
        txn.put(Table.MODELS, b"a", b"2")
        assert txn.get(Table.MODELS, b"a") == b"2"
        txn.put(Table.MODELS, b"empty", b"")
        assert txn.get(Table.MODELS, b"empty") == b""
        txn.delete(Table.MODELS, b"a")
        txn.delete(Table.MODELS, b"never there")
        assert txn.get(Table.MODELS, b"a") is None
        assert list(txn.scan(Table.MODELS)) == [(b"empty", b"")]


def test_scan(begin: Callable[[], AbstractContextManager[Writer]]) -> None:
    with begin() as txn:
        for key in KEYS[::-1]:
            txn.put(Table.MODELS, key, key + b"!")
            txn.put(Table.STAGES, key, b"another table")
        for prefix, after, reverse in itertools.product(PREFIXES, AFTERS, (False, True)):
            found = txn.scan(Table.MODELS, prefix, after=after, reverse=reverse)
            assert list(found) == _expected(prefix, after, reverse), (prefix, after, reverse)


def _expected(prefix: bytes, after: bytes | None, reverse: bool) -> list[tuple[bytes, bytes]]:
    return [
        (key, key + b"!")
        for key in sorted(KEYS, reverse=reverse)
        if key.startswith(prefix) and (after is None or (key < after if reverse else key > after))
    ]


def test_scan_of_nothing(store: Store) -> None:
    with store.read() as txn:
        assert list(txn.scan(Table.LOG)) == []
        assert list(txn.scan(Table.LOG, b"x", after=b"y", reverse=True)) == []


def test_a_scan_may_be_left_early(store: Store) -> None:
    with store.write() as txn:
        for number in range(10):
            txn.put(Table.LOG, bytes([number]), b"x")
    with store.read() as txn:
        assert next(iter(txn.scan(Table.LOG, reverse=True)))[0] == b"\x09"
    with store.write() as txn:
        txn.put(Table.LOG, b"z", b"x")


def test_keys_and_values_of_every_allowed_size(store: Store) -> None:
    with store.write() as txn:
        txn.put(Table.LOG, b"k" * 511, b"v" * (2 << 20))
    with store.read() as txn:
        assert txn.get(Table.LOG, b"k" * 511) == b"v" * (2 << 20)


def test_committed_together(store: Store) -> None:
    with store.write() as txn:
        txn.put(Table.MODELS, b"a", b"1")
        txn.put(Table.STAGES, b"b", b"2")
    with store.read() as txn:
        assert (txn.get(Table.MODELS, b"a"), txn.get(Table.STAGES, b"b")) == (b"1", b"2")


def test_an_exception_leaves_nothing(store: Store) -> None:
    with store.write() as txn:
        txn.put(Table.MODELS, b"kept", b"1")
        txn.put(Table.MODELS, b"changed", b"before")
    with suppress(KeyError), store.write() as txn:
        txn.put(Table.MODELS, b"new", b"1")
        txn.put(Table.MODELS, b"changed", b"after")
        txn.put(Table.MODELS, b"changed", b"after again")
        txn.delete(Table.MODELS, b"kept")
        raise KeyError
    with store.read() as txn:
        assert dict(txn.scan(Table.MODELS)) == {b"kept": b"1", b"changed": b"before"}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"ab", b"b", b"b\0", b"\xff"]),
        st.none() | st.binary(max_size=3),
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(CHANGES, st.booleans()), max_size=5))
def test_equals_a_dictionary(
    store: Store, batches: list[tuple[list[tuple[bytes, bytes | None]], bool]]
) -> None:
    with store.write() as txn:
        for key, _ in list(txn.scan(Table.POLICY)):
            txn.delete(Table.POLICY, key)
    model: dict[bytes, bytes] = {}
    for changes, commits in batches:
        draft = dict(model)
        with suppress(KeyError), store.write() as txn:
            for key, value in changes:
                if value is None:
                    txn.delete(Table.POLICY, key)
                    draft.pop(key, None)
                else:
                    txn.put(Table.POLICY, key, value)
                    draft[key] = value
            assert list(txn.scan(Table.POLICY)) == sorted(draft.items())
            if not commits:
                raise KeyError
            model = draft
        with store.read() as txn:
            assert list(txn.scan(Table.POLICY)) == sorted(model.items())
