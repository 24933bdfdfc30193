"""Transactions in plain dictionaries: a whole store for replaying a log beside the real one
(`check`), and an overlay for looking at what a change would give (`Replica.preview`).

Both pass the same conformance suite as the real backends. Single-threaded, and nothing lasts.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from types import TracebackType

from registry_core.ledger.store import Reader, Table, Writer


class MemoryStore:
    """Tables as dictionaries with their keys kept sorted."""

    shared = False

    def __init__(self) -> None:
        self._values: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}
        self._keys: dict[Table, list[bytes]] = {table: [] for table in Table}

    def read(self) -> _MemoryTransaction:
        return _MemoryTransaction(self._values, self._keys)

    def write(self) -> _MemoryTransaction:
        return _MemoryTransaction(self._values, self._keys)

    def close(self) -> None:
        """Nothing is held."""


class Overlay:
    """A Writer whose changes lie on top of a Reader until `flush` makes them there, if ever.

    What was read once is kept: the reader beneath must not change meanwhile."""

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._held: defaultdict[Table, dict[bytes, bytes | None]] = defaultdict(dict)
        self._changed: defaultdict[Table, set[bytes]] = defaultdict(set)

    def get(self, table: Table, key: bytes) -> bytes | None:
        held = self._held[table]
        if key not in held:
            held[key] = self._base.get(table, key)
        return held[key]

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """The changes as they are when the scan begins, merged into what lies beneath."""
        held = dict(self._held[table]) if self._changed[table] else {}
        ours = iter(sorted(self._of(table, prefix, after, reverse=reverse), reverse=reverse))
        above = next(ours, None)
        for key, value in self._base.scan(table, prefix, after=after, reverse=reverse):
            while above is not None and (above > key if reverse else above < key):
                yield from _present(above, held[above])
                above = next(ours, None)
            if above == key:
                yield from _present(key, held[key])
                above = next(ours, None)
            else:
                yield key, value
        while above is not None:
            yield from _present(above, held[above])
            above = next(ours, None)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._held[table][key] = value
        self._changed[table].add(key)

    def delete(self, table: Table, key: bytes) -> None:
        self._held[table][key] = None
        self._changed[table].add(key)

    def time_ms(self) -> int:
        return self._base.time_ms()

    def changes(self) -> Iterator[tuple[Table, list[tuple[bytes, bytes | None]]]]:
        """By table, in key order: (key, value), None for what was deleted."""
        for table, changed in self._changed.items():
            held = self._held[table]
            yield table, [(key, held[key]) for key in sorted(changed)]

    def flush(self, below: Writer) -> None:
        """Make the changes in `below`, which the overlay lies on. The overlay is used up."""
        for table, changes in self.changes():
            for key, value in changes:
                if value is None:
                    below.delete(table, key)
                else:
                    below.put(table, key, value)

    def _of(
        self, table: Table, prefix: bytes, after: bytes | None, *, reverse: bool
    ) -> Iterator[bytes]:
        for key in self._changed[table]:
            beyond = after is None or (key < after if reverse else key > after)
            if beyond and key.startswith(prefix):
                yield key


def _present(key: bytes, value: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    if value is not None:
        yield key, value


class _MemoryTransaction:
    """Undoes its changes when it ends with an exception."""

    def __init__(
        self, values: dict[Table, dict[bytes, bytes]], keys: dict[Table, list[bytes]]
    ) -> None:
        self._values = values
        self._keys = keys
        self._undo: list[tuple[Table, bytes, bytes | None]] = []

    def __enter__(self) -> _MemoryTransaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is not None:
            for table, key, value in reversed(self._undo):
                self._set(table, key, value)

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self._values[table].get(key)

    def scan(
        self,
        table: Table,
        prefix: bytes = b"",
        *,
        after: bytes | None = None,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        keys = [key for key in self._keys[table] if key.startswith(prefix)]
        if reverse:
            keys.reverse()
        for key in keys:
            if after is None or (key < after if reverse else key > after):
                yield key, self._values[table][key]

    def time_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self._undo.append((table, key, self.get(table, key)))
        self._set(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        self._undo.append((table, key, self.get(table, key)))
        self._set(table, key, None)

    def _set(self, table: Table, key: bytes, value: bytes | None) -> None:
        values, keys = self._values[table], self._keys[table]
        if value is None:
            if values.pop(key, None) is not None:
                del keys[bisect_left(keys, key)]
        else:
            if key not in values:
                insort(keys, key)
            values[key] = value
