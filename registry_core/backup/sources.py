"""Where a log may come back from. What a source gives is not trusted: `gather` verifies it."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from registry_core.domain.entry import LogRecord
from registry_core.domain.policy import Root
from registry_core.errors import IntegrityError, NotFound
from registry_core.ledger import log, queries
from registry_core.ledger.lmdb_store import LmdbStore
from registry_core.ledger.store import Store

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Piece:
    """Records that continue a log, and the signed checkpoint at their end. `records` may be asked
    for more than once, and gives the same each time."""

    records: Callable[[], Iterable[LogRecord]]
    note: bytes


class Source(Protocol):
    @property
    def name(self) -> str:
        """To tell people of it."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What of it could not be read so far."""
        ...

    def newest(self) -> bytes | None:
        """Its newest signed checkpoint; there may be less behind it than it covers."""
        ...

    def pieces(self, after: int) -> Iterator[Piece]:
        """What continues a log of `after` entries, the longest first; nothing if it has no more."""
        ...


class StoreSource:
    """The log of a ledger or of a node's replica, on one consistent view of it."""

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self.problems = ()
        self._store = store

    @classmethod
    def open(cls, directory: Path) -> StoreSource:
        """A registry's home, a node's data directory, or the LMDB directory itself; read beside
        whoever writes it."""
        for place in (directory / "ledger", directory):
            if (place / "data.mdb").exists():
                return cls(str(directory), LmdbStore(place, readonly=True))
        raise NotFound(
            f"{directory} holds no ledger: name a node's data directory, or a registry's"
        )

    def root(self) -> Root | None:
        with self._store.read() as txn:
            return log.stored_root(txn)

    def newest(self) -> bytes | None:
        with self._store.read() as txn:
            return log.stored_checkpoint(txn)

    def pieces(self, after: int) -> Iterator[Piece]:
        with self._store.read() as txn:
            note, size = log.stored_checkpoint(txn), log.log_size(txn)
        if note is not None and size > after:
            yield Piece(lambda: self._records(after, size), note)

    def close(self) -> None:
        self._store.close()

    def _records(self, after: int, size: int) -> Iterator[LogRecord]:
        with self._store.read() as txn:
            for record in queries.log_records(txn, after):
                if record.sequence > size:
                    return
                yield record


class StreamSource:
    """A whole log as somebody sent it, kept in a file while it is needed."""

    def __init__(self, name: str, records: Iterable[LogRecord], note: Callable[[], bytes]) -> None:
        """`records` is read to its end now; `note` is asked for the checkpoint after that."""
        self.name = name
        self.problems = ()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        self._size = 0
        for record in records:
            if record.sequence != self._size + 1:
                raise IntegrityError(f"{name} sends entries out of order at {record.sequence}")
            data = record.encode()
            self._file.write(_LENGTH.pack(len(data)) + data)
            self._size = record.sequence
        self._note = note()

    def newest(self) -> bytes | None:
        return self._note

    def pieces(self, after: int) -> Iterator[Piece]:
        if self._size > after:
            yield Piece(lambda: self._records(after), self._note)

    def __enter__(self) -> StreamSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        self._file.close()

    def _records(self, after: int) -> Iterator[LogRecord]:
        self._file.seek(0)
        for _ in range(self._size):
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            record = LogRecord.decode(self._file.read(length))
            if record.sequence > after:
                yield record
