"""A full disk: the change is refused, nothing acknowledged is lost, and it reopens clean."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core.errors import LedgerUnavailable
from registry_core.ledger.lmdb_store import LmdbStore
from tests.ledger.rig import Books

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
    store.close()

    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    reopened = LmdbStore(small_disk / "ledger")
    books = Books(reopened, tmp_path / "origin")
    assert books.check().problems == []
    assert books.add_version().number == acknowledged + 1
    reopened.close()


def _fill(books: Books) -> tuple[int, str]:
    """The last version that was acknowledged, and the refusal of the next."""
    acknowledged = 0
    for _ in range(3_000):
        try:
            acknowledged = books.add_version().number
        except LedgerUnavailable as refusal:
            return acknowledged, str(refusal)
    pytest.fail("the disk did not get full")
