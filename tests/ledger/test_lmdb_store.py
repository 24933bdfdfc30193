"""What is LMDB's own: one writer, no forks, damage noticed, files of unknown history examined."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core.errors import IntegrityError, LedgerLocked, LedgerUnavailable
from registry_core.ledger.in_use import InUse
from registry_core.ledger.lmdb_store import LmdbStore, _Process
from registry_core.ledger.store import Table
from tests.ledger.rig import Books, RawLedger

HOLD = """
import sys, pathlib
from registry_core.ledger.in_use import InUse
from registry_core.ledger.lmdb_store import LmdbStore
store = LmdbStore(pathlib.Path(sys.argv[1]), holder="the night shift")
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """On LMDB, whose file beneath can be changed by hand."""
    store = LmdbStore(tmp_path / "ledger", holder="the test")
    yield Books(store, tmp_path / "origin")
    store.close()


def test_a_second_writer_is_told_who_holds_it(books: Books, tmp_path: Path) -> None:
    with pytest.raises(LedgerLocked, match=rf"by the test \(process {os.getpid()}\)"):
        LmdbStore(tmp_path / "ledger")


def test_another_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "ledger").close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "ledger")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        with pytest.raises(LedgerLocked, match=rf"the night shift \(process {holder.pid}\)"):
            LmdbStore(tmp_path / "ledger")
        LmdbStore(tmp_path / "ledger", readonly=True).close()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    LmdbStore(tmp_path / "ledger").close()


def test_closing_frees_it_and_closing_twice_is_allowed(tmp_path: Path) -> None:
    first = LmdbStore(tmp_path / "ledger")
    first.close()
    second = LmdbStore(tmp_path / "ledger")
    second.close()
    second.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    LmdbStore(tmp_path / "ledger").close()
    reader = LmdbStore(tmp_path / "ledger", readonly=True)
    with pytest.raises(LedgerUnavailable, match="read-only"):
        reader.write()
    reader.close()


def test_a_reader_does_not_make_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="cachctl init"):
        LmdbStore(tmp_path / "nothing", readonly=True)
    assert not (tmp_path / "nothing").exists()


def test_readers_see_a_consistent_view_beside_the_writer(books: Books) -> None:
    with books.store.read() as before:
        books.live()
        assert list(before.scan(Table.MODELS)) == []
    with books.store.read() as after:
        assert len(list(after.scan(Table.MODELS))) == 2


def test_a_forked_child_is_refused(books: Books) -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        told = b"nothing"
        try:
            books.store.read()
        except LedgerUnavailable as error:
            told = str(error).encode()
        finally:
            os.write(write_end, told)
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert b"forked: open it in the child" in pipe.read()
    os.waitpid(child, 0)
    assert books.check().clean, "the parent goes on"


def test_flipped_bits_in_records_are_noticed(books: Books, tmp_path: Path, seed: int) -> None:
    books.live()
    books.store.close()
    rng = random.Random(seed)
    with RawLedger(tmp_path / "ledger") as raw:
        records = [(table, key, value) for table in Table for key, value in raw.items(table)]
        for table, key, stored in rng.sample(records, 40):
            damaged = bytearray(stored)
            damaged[rng.randrange(len(stored))] ^= 1 << rng.randrange(8)
            raw.put_stored(table, key, bytes(damaged))
            _assert_noticed(raw, table, key)
            raw.put_stored(table, key, stored)


def test_a_record_under_another_key_or_cut_short_is_noticed(books: Books, tmp_path: Path) -> None:
    books.live()
    books.store.close()
    with RawLedger(tmp_path / "ledger") as raw:
        (first, stored), (second, other) = raw.items(Table.VERSIONS)[:2]
        for damaged in (other, stored[:-1], stored[:7], b"", stored + b"\0"):
            raw.put_stored(Table.VERSIONS, first, damaged)
            _assert_noticed(raw, Table.VERSIONS, first)
        assert second != first


def _assert_noticed(raw: RawLedger, table: Table, key: bytes) -> None:
    """Read through the very code that reads the ledger, over the environment that `raw` has."""
    store = LmdbStore.__new__(LmdbStore)
    store._env, store._tables, store._process = raw._env, raw._tables, _Process.here
    store._in_use = InUse()
    with store.read() as txn:
        with pytest.raises(IntegrityError, match=f"table {table} in the ledger is damaged"):
            txn.get(table, key)
        with pytest.raises(IntegrityError, match="restore the ledger from a backup"):
            list(txn.scan(table))


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("damage", ["cut to two pages", "cut in half", "zeroed", "random", "meta"])
def test_a_damaged_copy_is_refused_and_kills_nobody(
    books: Books, tmp_path: Path, damage: str, readonly: bool, seed: int
) -> None:
    """Mapping such a file can end a process by SIGBUS; here it ends a child that only looks."""
    books.live()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "ledger", copy)
    data = copy / "data.mdb"
    size = books.store.used_bytes()
    books.store.close()
    with data.open("r+b") as file:
        if damage == "cut to two pages":
            file.truncate(8192)
        elif damage == "cut in half":
            file.truncate(size // 2)
        elif damage == "meta":
            file.write(bytes(8192))
        else:
            file.seek(8192)
            rng = random.Random(seed)
            file.write(bytes(size - 8192) if damage == "zeroed" else rng.randbytes(size - 8192))
    with pytest.raises(LedgerUnavailable, match=r"is damaged .*: restore it from a backup"):
        LmdbStore(copy, readonly=readonly)
    if not readonly:  # the lock was given back
        with pytest.raises(LedgerUnavailable, match="is damaged"):
            LmdbStore(copy)


def test_a_sound_copy_is_examined_and_used(books: Books, tmp_path: Path) -> None:
    books.live()
    books.store.close()
    shutil.copytree(tmp_path / "ledger", tmp_path / "copy")
    store = LmdbStore(tmp_path / "copy")
    copied = Books(store, tmp_path / "origin")
    assert copied.check().clean
    copied.add_version()
    known = (tmp_path / "copy" / "identity.json").read_text()
    store.close()
    assert known != (tmp_path / "ledger" / "identity.json").read_text()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerUnavailable, match="is damaged"):
        LmdbStore(tmp_path / "ledger")
