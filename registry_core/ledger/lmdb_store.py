"""The default backend: LMDB. Microsecond reads in process, one durable writer.

Threads: reads from any thread; writes are serialised by LMDB. Never across fork: a child gets a
clear error, since LMDB would seem to work there and is not. Each record carries a checksum bound
to table and key. After a failed commit the writer is stopped, since later commits would seem to
succeed over pages that never reached the disk; the next write, a second later at the earliest,
first opens the file anew at its last durable commit. A crash leaves the last durable commit.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import lmdb
from xxhash import xxh3_64_digest

from registry_core.domain import limits
from registry_core.errors import LedgerUnavailable
from registry_core.ledger.checksum import PREFIX, SUM_BYTES, damaged, seal, unseal
from registry_core.ledger.headroom import Headroom
from registry_core.ledger.in_use import InUse
from registry_core.ledger.key_range import successor
from registry_core.ledger.lmdb_care import (
    examine_if_unknown,
    refuse_network_filesystem,
    remember,
)
from registry_core.ledger.store import Table
from registry_core.ledger.writer_lock import WriterLock

_MEND_AFTER_S = 1.0
_MEND_S = 5.0


class _Process:
    """`here` is another object in each process: known without a system call at each read."""

    here: ClassVar[object] = object()


os.register_at_fork(after_in_child=lambda: setattr(_Process, "here", object()))


class LmdbStore:
    """`directory` holds data.mdb, lock.mdb, writer.lock and identity.json."""

    shared = False

    def __init__(
        self,
        directory: Path,
        *,
        readonly: bool = False,
        holder: str = "a registry",
        examined: bool = False,
    ) -> None:
        if not readonly:
            directory.mkdir(parents=True, exist_ok=True)
        elif not (directory / "data.mdb").exists():
            raise LedgerUnavailable(f"there is no ledger in {directory}: run `cachctl init` first")
        refuse_network_filesystem(directory)
        self._directory = directory
        self._process = _Process.here
        self._in_use = InUse()
        self._stopped: str | None = None
        self._stopped_s = 0.0
        self._mending = threading.Lock()  # held by whoever opens the file anew
        self._headroom = Headroom(directory / "data.mdb")  # used by whoever writes
        self._lock = None if readonly else WriterLock(directory / "writer.lock", holder)
        try:
            if not examined:
                examine_if_unknown(directory)
            self._env = _open_environment(directory, readonly=readonly)
            self._tables = _open_tables(self._env, readonly=readonly)
            self._page_bytes: int = self._env.stat()["psize"]
            if not readonly:
                self._env.reader_check()
                remember(directory)
        except (lmdb.Error, LedgerUnavailable) as error:
            self._release_lock()
            if isinstance(error, LedgerUnavailable):
                raise
            raise LedgerUnavailable(f"the ledger {directory} cannot be opened: {error}") from error

    def read(self) -> _Transaction:
        if self._process is not _Process.here:
            raise _forked()
        return _Transaction(self, write=False)

    def write(self) -> _Transaction:
        if self._process is not _Process.here:
            raise _forked()
        if self._lock is None:
            raise LedgerUnavailable("the ledger was opened read-only: open it for writing")
        if self._stopped is not None:
            self._open_anew()
        made = _Transaction(self, write=True)
        try:
            self._require_not_stopped()  # while this one waited for its turn
        except LedgerUnavailable:
            made.abort()
            raise
        self._headroom.keep(self.used_bytes())
        return made

    def stop_writing(self, reason: str) -> None:
        self._stopped, self._stopped_s = reason, time.monotonic()

    def _open_anew(self) -> None:
        """Once the file is closed, nothing is left of the pages that a failed commit left behind
        in this process. Readers wait meanwhile. Raises if it is too early, or fails again."""
        with self._mending:
            if self._stopped is None:
                return
            if time.monotonic() - self._stopped_s < _MEND_AFTER_S:
                self._require_not_stopped()
            with self._in_use.nobody(_MEND_S) as nobody:
                if not nobody:
                    self._require_not_stopped()
                try:
                    self._env.close()
                    self._env = _open_environment(self._directory, readonly=False)
                    self._tables = _open_tables(self._env, readonly=False)
                except lmdb.Error as error:
                    self.stop_writing(str(error))
                    self._require_not_stopped()
            self._stopped = None

    def close(self) -> None:
        if self._process is _Process.here:
            self._env.close()
            self._release_lock()

    def used_bytes(self) -> int:
        """How far into the file its records reach; what is beyond is headroom."""
        pages: int = self._env.info()["last_pgno"] + 1
        return pages * self._page_bytes

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _require_not_stopped(self) -> None:
        if self._stopped is not None:
            raise LedgerUnavailable(
                f"the ledger's writer stopped at a failed commit ({self._stopped}): free disk "
                "space or mend the disk, and it goes on by itself; nothing acknowledged is lost"
            )


def _forked() -> LedgerUnavailable:
    return LedgerUnavailable(
        "the ledger was opened before this process was forked: open it in the child"
    )


def _open_environment(directory: Path, *, readonly: bool) -> Any:
    return lmdb.open(
        os.fspath(directory),
        map_size=limits.MAP_BYTES,
        max_dbs=len(Table),
        max_readers=limits.READERS_MAX,
        readonly=readonly,
        subdir=True,
        create=not readonly,
        metasync=True,
        sync=True,
        readahead=False,
    )


def _open_tables(env: Any, *, readonly: bool) -> dict[Table, Any]:
    return {table: env.open_db(table.value.encode(), create=not readonly) for table in Table}


class _Transaction:
    """Reader and Writer over one LMDB transaction; a context manager that commits or aborts."""

    __slots__ = ("_store", "_tables", "_txn", "_write")

    def __init__(self, store: LmdbStore, *, write: bool) -> None:
        self._store = store
        self._write = write
        store._in_use.enter(self)  # noqa: SLF001  # the two classes are one backend
        self._tables = store._tables  # noqa: SLF001  # the two classes are one backend
        try:
            self._txn = store._env.begin(write=write)  # noqa: SLF001  # as above
        except lmdb.Error as error:
            store._in_use.leave(self)  # noqa: SLF001  # as above
            raise LedgerUnavailable(f"the ledger cannot be read: {error}") from error

    def __enter__(self) -> _Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None or not self._write:
            self.abort()
            return
        try:
            self._txn.commit()
        except lmdb.Error as failure:
            self._store.stop_writing(str(failure))
            raise LedgerUnavailable(
                f"the ledger could not commit ({failure}): the change was refused and nothing "
                "is half-made; look at free disk space first"
            ) from failure
        finally:
            self._store._in_use.leave(self)  # noqa: SLF001  # as above

    def abort(self) -> None:
        self._txn.abort()
        self._store._in_use.leave(self)  # noqa: SLF001  # as above

    def get(self, table: Table, key: bytes) -> bytes | None:
        try:
            stored = self._txn.get(key, None, self._tables[table])
        except lmdb.Error as error:
            raise damaged(table) from error
        if stored is None:
            return None
        value: bytes = stored[SUM_BYTES:]  # as `unseal` does it: this is what reads wait for
        if stored[:SUM_BYTES] != xxh3_64_digest(PREFIX[table] + key + b"\0" + value):
            raise damaged(table)
        return value

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        seek = _seek_last if reverse else _seek_first
        try:
            with self._txn.cursor(db=self._tables[table]) as cursor:
                found = seek(cursor, prefix, after)
                while found and cursor.key().startswith(prefix):
                    key = bytes(cursor.key())
                    yield key, unseal(table, key, cursor.value())
                    found = cursor.prev() if reverse else cursor.next()
        except lmdb.Error as error:
            raise damaged(table) from error

    def time_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        try:
            self._txn.put(key, seal(table, key, value), db=self._tables[table])
        except lmdb.Error as error:
            raise LedgerUnavailable(f"the ledger cannot take the change: {error}") from error

    def delete(self, table: Table, key: bytes) -> None:
        try:
            self._txn.delete(key, db=self._tables[table])
        except lmdb.Error as error:
            raise LedgerUnavailable(f"the ledger cannot take the change: {error}") from error


def _seek_first(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
    """Onto the first key beyond `after` that may begin with `prefix`."""
    return bool(cursor.set_range(prefix if after is None else max(prefix, after + b"\0")))


def _seek_last(cursor: Any, prefix: bytes, after: bytes | None) -> bool:
    """Onto the last key below `after`, or below the end of `prefix`."""
    bounds = [bound for bound in (after, successor(prefix)) if bound is not None]
    bound = min(bounds, default=None)
    if bound is None:
        return bool(cursor.last())
    return bool(cursor.prev()) if cursor.set_range(bound) else bool(cursor.last())
