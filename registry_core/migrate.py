"""Moving a ledger from one backend to another, log and all.

Every table is copied from one snapshot; the copy is checked by replaying its log; only then does
config.json name the new ledger, in one rename. Whatever goes wrong before leaves the registry as it
was. The old ledger is not touched: it is a backup of that moment, and no longer the registry.
"""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

from registry_core.errors import Conflict, IntegrityError
from registry_core.home import RegistryHome
from registry_core.ledger import log
from registry_core.ledger.check import check_ledger
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.store import Reader, Store, Table
from registry_core.push.progress import Progress

_BATCH = 1_000


def migrate(home: RegistryHome, ledger_url: str, progress: Progress) -> int:
    """Move the ledger of `home` to `ledger_url` (`postgresql://…`, or empty for LMDB in the home);
    the number of entries moved.

    Stop the registry's authorities first: on LMDB the lock says if one is running, on PostgreSQL a
    change in the meantime is noticed and the move refused."""
    if ledger_url == home.ledger_url:
        raise Conflict("the ledger is there already: name another place")
    source = home.open_ledger(readonly=False, holder="cachctl migrate").store
    try:
        target = _open_target(home, ledger_url)
        try:
            return _move(home, source, target, ledger_url, progress)
        finally:
            target.close()
    finally:
        source.close()


def _open_target(home: RegistryHome, ledger_url: str) -> Store:
    target: Store
    if ledger_url:
        from registry_core.ledger.postgres_store import PostgresStore

        target = PostgresStore(ledger_url)
    else:
        directory = home.path / "ledger"
        if (directory / "data.mdb").exists():
            raise Conflict(f"{directory} holds a ledger from before: move it away first")
        target = LmdbStore(directory, holder="cachctl migrate")
    with target.read() as txn:
        used = log.stored_root(txn) is not None or log.log_size(txn) > 0
    if used:
        target.close()
        raise Conflict("the target holds a ledger, or a part of one: choose an empty place")
    return target


def _move(
    home: RegistryHome, source: Store, target: Store, ledger_url: str, progress: Progress
) -> int:
    _clear(target)
    with source.read() as txn:
        size = log.log_size(txn)
        for table in (one for one in Table if one is not Table.META):
            _copy(txn, target, table, progress)
        _copy(txn, target, Table.META, progress)  # last: it says that the rest is there
    with target.read() as txn:
        report = check_ledger(txn, lambda done, total: progress("check", done, total))
    if not report.clean:
        raise IntegrityError(f"the copy is not sound, nothing was changed: {report.problems[0]}")
    with source.read() as txn:
        if log.log_size(txn) != size:
            raise Conflict("the ledger changed meanwhile: stop all authorities and migrate again")
    _name_ledger(home.path / "config.json", ledger_url)
    return size


def _clear(target: Store) -> None:
    """Take away what an earlier move that was cut off has left."""
    for table in Table:
        while True:
            with target.write() as txn:
                keys = [key for key, _ in islice(txn.scan(table), _BATCH)]
                for key in keys:
                    txn.delete(table, key)
            if not keys:
                break


def _copy(txn: Reader, target: Store, table: Table, progress: Progress) -> None:
    records = txn.scan(table)
    copied = 0
    while batch := list(islice(records, _BATCH)):
        with target.write() as write:
            for key, value in batch:
                write.put(table, key, value)
        copied += len(batch)
        progress(f"copy {table}", copied, copied)


def _name_ledger(config: Path, ledger_url: str) -> None:
    document = json.loads(config.read_text(encoding="utf-8"))
    document.pop("ledger", None)
    if ledger_url:
        document["ledger"] = {"url": ledger_url}
    aside = config.with_name(".config.json.new")
    with aside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(config)
    descriptor = os.open(config.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
