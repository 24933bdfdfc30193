"""A ledger with a life, its backup, and what comes back of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from registry_core.backup.gather import EVERYTHING, Until
from registry_core.backup.line import newest_line
from registry_core.backup.restore import Restored, Wanted, restore_home
from registry_core.backup.sources import Source
from registry_core.backup.writer import BackupWriter
from registry_core.home import RegistryHome
from registry_core.ledger import log
from registry_core.ledger.check import check_ledger
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.store import DERIVED, Store, Table
from registry_core.origin.store import Origin
from registry_core.trust.keys import Keyring
from tests.ledger.rig import AUTHORITY, OWNER, PROMOTER, PUBLISHER, ROOT, STAGER, Books


def live(books: Books, rng: random.Random, changes: int) -> None:
    """So many random changes: versions, moves, choices."""
    versions = [books.add_version()]
    for _ in range(changes):
        if rng.random() < 0.5 or len(versions) < 2:
            versions.append(books.add_version())
            continue
        stage = books.stage()
        version = rng.choice(
            [v for v in versions if not stage or v.number != stage.in_force.number]
        )
        books.promote(version)


def write_keys(folder: Path) -> Keyring:
    folder.mkdir(mode=0o700)
    keys = Keyring(folder)
    for name, key in (
        ("owner", OWNER), ("authority", AUTHORITY), ("publisher", PUBLISHER),
        ("promoter", PROMOTER), ("stager", STAGER),
    ):  # fmt: skip
        keys.create(name, key)
    return keys


class Rig:
    """`books` is the ledger that will be lost."""

    def __init__(self, books: Books, folder: Path) -> None:
        self.books = books
        self.folder = folder
        self.origin = Origin.open((folder / "backups").as_uri())
        self.keys = write_keys(folder / "keys")
        self.writer = self.new_writer()

    def new_writer(self) -> BackupWriter:
        return BackupWriter(self.books.ledger, ROOT, self.origin)

    def segments(self) -> list[str]:
        """Keys of all segments, sorted."""
        return sorted(
            found.key for found in self.origin.list("backup") if found.key.endswith(".seg")
        )

    def path(self, key: str) -> Path:
        return self.folder / "backups" / key

    def restore(
        self, name: str, sources: Sequence[Source] = (), *, until: Until = EVERYTHING,
        partial: bool = False, line: bool = True,
    ) -> tuple[Restored, Ledger]:  # fmt: skip
        """A new home of the backup and of `sources`; its ledger, checked."""
        backup = [newest_line(self.origin, ROOT.registry)] if line else []
        wanted = Wanted(self.origin.url, {}, until, partial)
        restored = restore_home(
            self.folder / name, ROOT, self.keys, [*backup, *sources], wanted,
            lambda phase, done, total: None,
        )  # fmt: skip
        home = RegistryHome.load(self.folder / name)
        ledger = home.open_ledger(readonly=False, holder="a test")
        with ledger.read() as txn:
            assert check_ledger(txn).problems == []
        return restored, ledger


def size(ledger: Ledger) -> int:
    with ledger.read() as txn:
        return log.log_size(txn)


def same(one: Store, other: Store) -> bool:
    """Whether both hold the same log and the same tables."""
    with one.read() as ours, other.read() as theirs:
        return all(
            list(ours.scan(table)) == list(theirs.scan(table))
            for table in (Table.LOG, Table.TREE, *DERIVED)
        )
