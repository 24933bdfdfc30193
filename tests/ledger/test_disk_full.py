"""A full disk: the change is refused, nothing acknowledged is lost, and it reopens clean."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry_core.errors import LedgerUnavailable
from registry_core.ledger import queries
from registry_core.ledger.lmdb_store import LmdbStore
from tests.ledger.rig import MODEL, Books

pytestmark = pytest.mark.root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.skip(f"this machine does not let us mount: {mount.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    store = LmdbStore(small_disk / "ledger")
    books = Books(store, tmp_path / "origin")
    acknowledged, told = _fill(books)
    assert "free disk space" in told
    assert acknowledged > 10
    assert books.check().problems == [], "reading goes on"

    with pytest.raises(LedgerUnavailable, match="writer stopped at a failed commit"):
        books.add_version()
    # pages that earlier versions freed may take a few more
    acknowledged += _tried_until(
        books, lambda told: "could not commit" in told or "cannot take" in told
    )
    store.close()

    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    reopened = LmdbStore(small_disk / "ledger")
    books = Books(reopened, tmp_path / "origin")
    assert books.check().problems == []
    assert books.add_version().number == acknowledged + 1
    reopened.close()


def test_goes_on_by_itself_once_there_is_space(small_disk: Path, tmp_path: Path) -> None:
    """While others read, and without anybody opening it again."""
    store = LmdbStore(small_disk / "ledger")
    books = Books(store, tmp_path / "origin")
    acknowledged, _ = _fill(books)
    stop = threading.Event()

    def read() -> int:
        count = 0
        while not stop.is_set():
            with store.read() as txn:
                assert queries.version(txn, MODEL, acknowledged).number == acknowledged
            count += 1
        return count

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
        _tried_until(books, lambda told: not told)
        stop.set()
        assert all(reader.result(10) > 0 for reader in readers)
    assert books.check().problems == []
    with store.read() as txn:
        assert queries.model(txn, MODEL).last_number == acknowledged + 1
    store.close()


def _tried_until(books: Books, wanted: Callable[[str], bool]) -> int:
    """Add versions until what that is told by is as `wanted`; empty if it was done. How many were
    acknowledged."""
    added = 0
    deadline = time.monotonic() + 10
    while True:
        assert time.monotonic() < deadline
        told = ""
        try:
            books.add_version()
            added += 1
        except LedgerUnavailable as refusal:
            told = str(refusal)
        if wanted(told):
            return added
        time.sleep(0.05)


def _fill(books: Books) -> tuple[int, str]:
    """The last version that was acknowledged, and the refusal of the next."""
    acknowledged = 0
    for _ in range(3_000):
        try:
            acknowledged = books.add_version().number
        except LedgerUnavailable as refusal:
            return acknowledged, str(refusal)
    pytest.fail("the disk did not get full")
