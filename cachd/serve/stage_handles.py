"""The handles of one model@stage: found, made, kept for a time, retired, and dropped.

Invariants
- A handle that was retired is never named again: the same version gets a new handle.
- A handle is dropped when it is retired and no live worker holds it. After a restart of the host
  workers get READOPT_S to come back before anything unheld counts as free.
- What cannot be written down now is tried again at a later tick; `error` says why.
Owned by the host's event loop; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from cachd.serve.desk import Desk
from cachd.serve.from_daemon import Retire
from cachd.serve.handle_table import Handle, Slot
from cachd.serve.host_errors import HostError, TooManyVersions
from cachd.serve.limits import HANDLES_PER_STAGE_MAX
from cachd.serve.prepared_versions import PreparedVersions, check_directory
from cachd.serve.resident import ResidentVersion, Target
from cachd.serve.worker_connection import WorkerConnection


class StageHandles:
    """`workers` are the stage's. `kept_until_s`: handles that are not in force and stay, until
    then, or as long as a split wants them (inf)."""

    def __init__(self, desk: Desk, slot: int, workers: set[WorkerConnection]) -> None:
        self.prepared = PreparedVersions()
        self.error: str | None = None
        self._desk = desk
        self._slot = slot
        self._workers = workers
        self._sweep_due = True
        self._grace_s = desk.grace_of(self._row.model, self._row.stage)
        self.kept_until_s = {
            row.handle: inf if row.handle == self._row.split_handle else self.grace_end_s
            for row in desk.table.of_slot(slot)
            if not row.retired and row.handle != self._row.handle
        }

    @property
    def grace_end_s(self) -> float:
        """Of what goes out of force now."""
        return self._desk.clock() + self._grace_s

    @property
    def _row(self) -> Slot:
        return self._desk.table.slots[self._slot]

    def expire(self, now_s: float, pending: int) -> None:
        """Retire what was kept long enough, but for what is `pending`, or pinned."""
        ends, rows = self.kept_until_s.items(), self._desk.table.handles
        over = [(one, end_s) for one, end_s in ends if end_s <= now_s and one != pending]
        # 0: it was to be retired before, and the table could not be written
        self.retire([h for h, end_s in over if not (end_s and self._desk.pinned(rows[h].digest))])
        if self._sweep_due and now_s >= self._desk.readopt_until_s:
            self.drop_unheld()

    def retire_unreachable(self, target: Target) -> None:
        """No choice of the present move leads to these: they need not wait for their grace."""
        if target.keep is None:
            return
        wanted = {target.serve.digest, target.keep.digest}
        rows = self._desk.table.handles
        self.retire([one for one in self.kept_until_s if rows[one].digest not in wanted])

    def retire_unless_kept(self, handle: int) -> None:
        """Of a target that was replaced before it came into force."""
        if handle != self._row.handle and handle not in self.kept_until_s:
            self.retire([handle])

    def retire(self, handles: list[int]) -> None:
        """Name them no more. If the table cannot be written now, at a later tick."""
        if not handles:
            return
        self.kept_until_s.update(dict.fromkeys(handles, 0.0))
        rows = self._desk.table.handles
        if not self._saved(handles=[replace(rows[one], retired=True) for one in handles]):
            return
        for handle in handles:
            del self.kept_until_s[handle]
            for worker in self._workers:
                if handle in worker.leases:
                    worker.send(Retire(handle).message())
                if worker.leases.get(handle) == "failed":
                    worker.unlease(handle)
        self.drop_unheld()

    def drop_unheld(self) -> None:
        """Forget retired handles that no worker holds: their versions are free."""
        self._sweep_due = True
        if self._desk.clock() < self._desk.readopt_until_s:
            return
        held = {handle for worker in self._workers for handle in worker.leases}
        rows = self._desk.table.of_slot(self._slot)
        free = [row.handle for row in rows if row.retired and row.handle not in held]
        if free and not self._saved(dropped=free):
            return
        self._sweep_due = False
        for handle in free:
            self.prepared.close(handle)
        if free:
            self._desk.on_change()

    def _saved(self, *, handles: Iterable[Handle] = (), dropped: Iterable[int] = ()) -> bool:
        try:
            self._desk.table.save(handles=handles, dropped=dropped)
        except HostError as error:
            self.error = str(error)
            return False
        self.error = None
        return True

    def find(self, digest: str) -> Handle | None:
        rows = self._desk.table.of_slot(self._slot)
        return next((row for row in rows if row.digest == digest and not row.retired), None)

    def make(self, version: ResidentVersion) -> Handle:
        table = self._desk.table
        if len(table.of_slot(self._slot)) >= HANDLES_PER_STAGE_MAX:
            raise TooManyVersions(
                f"workers of {self._row.model}@{self._row.stage} still hold "
                f"{HANDLES_PER_STAGE_MAX} versions: they keep views of them; restart those workers"
            )
        row = table.new_handle(
            slot=self._slot, number=version.number, digest=version.digest, path=version.path
        )
        check_directory(version.path)  # before anything is written
        table.save(handles=[row])
        return row

    def open(
        self, row: Handle, version: ResidentVersion, target: Target, *, ready_within_s: float
    ) -> None:
        """So that workers can be told to load it. VersionMissing, HostError."""
        self.prepared.open(
            row.handle,
            version,
            target,
            flip_hint=self._row.flip + 1,
            ready_within_s=ready_within_s,
        )
        if row.path != version.path:
            self._desk.table.save(handles=[replace(row, path=version.path)])
