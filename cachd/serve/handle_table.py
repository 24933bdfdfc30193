"""Slots and handles of a host, on record before anyone hears of them.

The table says which slot belongs to which model@stage and what it was last meant to show, which
version each handle names, and the next handle. A handle is never used again, so a word or a lease
of any age means one version or none.
Every change is a new file, renamed over the old one. A kill leaves the old table or the new one;
the page is never ahead of the table, so a restart stores what the table says. There is no fsync,
which would be most of a rollback's time: the table is about processes that hold something, and
none of them outlives the kernel. So its name has the kernel's boot id, and a table of another
boot is removed unread.
Owned by the host's event loop.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from cachd.serve.flip_page import Record
from cachd.serve.host_errors import HostError, TableDamaged, TooManyVersions
from cachd.serve.limits import HANDLE_MAX, TABLE_BYTES_MAX
from cachd.serve.resident import ResidentVersion, Standing

FORMAT = 2
FORMATS_READ = (1, 2)  # 1 knew no splits


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of the page; `flip` 0: nothing was ever in force. `split_handle` answers `split` per
    mille of the requests."""

    slot: int
    model: str
    stage: str
    flip: int = 0
    handle: int = 0
    generation: int = 0
    choice: int = 0
    split_handle: int = 0
    split: int = 0

    @property
    def record(self) -> Record:
        return Record(
            self.flip, self.handle, self.generation, self.choice, self.split_handle, self.split
        )

    def showing(self, record: Record) -> Slot:
        return replace(
            self,
            flip=record.flip,
            handle=record.handle,
            generation=record.generation,
            choice=record.choice,
            split_handle=record.split_handle,
            split=record.split,
        )


@dataclass(frozen=True, slots=True)
class Handle:
    """One prepared version. `was_in_force`: some flip named it. `retired`: never named again."""

    handle: int
    slot: int
    number: int
    digest: str
    path: str
    was_in_force: bool = False
    retired: bool = False


class HandleTable:
    """Rows are values; `save` replaces rows on disk first, then here, or raises HostError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._keep({}, {})
        self.next_handle = 1
        self.incarnation = 0
        self._load()

    def of_slot(self, slot: int) -> list[Handle]:
        return [self.handles[handle] for handle in self._by_slot.get(slot, ())]

    def standing(self) -> list[Standing]:
        """What is in force, and what was and may be again, of all that ever was served."""
        found = []
        for slot in self.slots.values():
            named = {
                row.handle: ResidentVersion(row.number, row.digest, row.path)
                for row in self.of_slot(slot.slot)
                if row.was_in_force and not row.retired
            }
            in_force = named.pop(slot.handle, None)
            if in_force is not None:
                found.append(Standing(slot.model, slot.stage, in_force, tuple(named.values())))
        return found

    def new_handle(self, *, slot: int, number: int, digest: str, path: str) -> Handle:
        """A row that is not saved yet."""
        if self.next_handle > HANDLE_MAX:
            raise TooManyVersions(
                "all handles of this runtime directory are used: stop this host's workers and "
                "remove it"
            )
        return Handle(self.next_handle, slot, number, digest, path)

    def save(
        self,
        *,
        slots: Iterable[Slot] = (),
        handles: Iterable[Handle] = (),
        dropped: Iterable[int] = (),
        dropped_slots: Iterable[int] = (),
        incarnation: int | None = None,
    ) -> None:
        new_slots = {**self.slots, **{row.slot: row for row in slots}}
        new_handles = {**self.handles, **{row.handle: row for row in handles}}
        for handle in dropped:
            new_handles.pop(handle, None)
        for slot in dropped_slots:
            new_slots.pop(slot, None)
        next_handle = max([self.next_handle, *(handle + 1 for handle in new_handles)])
        incarnation = self.incarnation if incarnation is None else incarnation
        document = {
            "format": FORMAT,
            "incarnation": incarnation,
            "next_handle": next_handle,
        }
        _write(self._path, _encode(document, new_slots.values(), new_handles.values()))
        self._keep(new_slots, new_handles)
        self.next_handle, self.incarnation = next_handle, incarnation

    def _keep(self, slots: dict[int, Slot], handles: dict[int, Handle]) -> None:
        self.slots, self.handles = slots, handles
        self._by_slot: dict[int, list[int]] = {}
        for row in handles.values():
            self._by_slot.setdefault(row.slot, []).append(row.handle)

    def _load(self) -> None:
        try:
            with open(self._path, "rb") as file:
                data = file.read(TABLE_BYTES_MAX + 1)
        except FileNotFoundError:
            return
        try:
            self._take(data)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise TableDamaged(
                f"{self._path} is damaged ({error}): remove it; workers keep what they have loaded "
                "and are served again as soon as the node has set its targets"
            ) from error

    def _take(self, data: bytes) -> None:
        if len(data) > TABLE_BYTES_MAX:
            raise ValueError(f"more than {TABLE_BYTES_MAX} bytes")
        document = json.loads(data)
        if document["format"] not in FORMATS_READ:
            raise ValueError(f"format {document['format']!r}, this release knows {FORMATS_READ}")
        unsplit = {"split_handle": 0, "split": 0} if document["format"] == 1 else {}
        slots = [Slot(**_typed(Slot, row | unsplit)) for row in document["slots"]]
        handles = [Handle(**_typed(Handle, row)) for row in document["handles"]]
        self._keep({row.slot: row for row in slots}, {row.handle: row for row in handles})
        self.next_handle = int(document["next_handle"])
        self.incarnation = int(document["incarnation"])
        if len(self.slots) != len(slots) or len(self.handles) != len(handles):
            raise ValueError("a slot or a handle is listed twice")
        if any(row.slot not in self.slots for row in handles):
            raise ValueError("a handle is of no slot")
        if any(row.handle >= self.next_handle for row in handles):
            raise ValueError("next_handle was used already")


def _encode(head: dict[str, int], slots: Iterable[Slot], handles: Iterable[Handle]) -> bytes:
    """One row per line. Rows that stayed are not encoded again: this is on a rollback's path."""
    slot_rows = ",\n".join(map(_row, slots))
    handle_rows = ",\n".join(map(_row, handles))
    fields = json.dumps(head)[:-1]
    return f'{fields}, "slots": [\n{slot_rows}\n], "handles": [\n{handle_rows}\n]}}\n'.encode()


@lru_cache(maxsize=8192)
def _row(row: Slot | Handle) -> str:
    return json.dumps(asdict(row))


def _typed(kind: type, row: dict[str, Any]) -> dict[str, Any]:
    expected = {name: str(value) for name, value in kind.__annotations__.items()}
    found = {name: type(value).__name__ for name, value in row.items()}
    if found != expected:
        raise ValueError(f"a row of {kind.__name__} has other fields than {sorted(expected)}")
    return row


def _write(path: str, data: bytes) -> None:
    temporary = f"{path}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise HostError(
            f"cannot write {path} ({error.strerror}): make space or repair its file system; "
            "nothing was flipped"
        ) from error
