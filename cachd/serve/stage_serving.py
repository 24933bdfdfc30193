"""One model@stage on one host: from target to prepared, in force, kept and retired.

A handle's life: preparing -> in force -> kept (grace) -> in force again or retired -> dropped; of
its end `stage_handles` takes care.
Invariants
- The word is stored only after the table says so (`_put_in_force`).
- What is in force, pending or kept is never dropped; kept is what a split wants or has, too.
Owned by the host's event loop; nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import inf

from cachd.serve.desk import Desk
from cachd.serve.flip_events import HeldBack, LoadedBy, PutInForce
from cachd.serve.flip_page import Record
from cachd.serve.flip_policy import Verdict
from cachd.serve.from_daemon import Flipped, Retire, Waiting
from cachd.serve.from_worker import (
    Failed,
    Held,
    Late,
    Leaving,
    Ready,
    Released,
    Requests,
    Switched,
)
from cachd.serve.handle_table import Handle, Slot
from cachd.serve.host_errors import HostError
from cachd.serve.preparation import Preparation
from cachd.serve.request_counts import RequestCounts
from cachd.serve.resident import Holding, Observed, State, Target
from cachd.serve.split_gate import SplitGate
from cachd.serve.stage_handles import StageHandles
from cachd.serve.worker_connection import WorkerConnection
from cachd.serve.worker_progress import progress_of, trouble_of


class StageServing:
    def __init__(self, desk: Desk, slot: int) -> None:
        self.slot = slot
        self.workers: set[WorkerConnection] = set()
        self.target: Target | None = None  # in force; its word is stored
        self.requests = RequestCounts()
        self._desk = desk
        self._rules = desk.rules(self._row.model, self._row.stage)
        self._pending: Preparation | None = None  # the target that is not in force yet
        self._verdict: Verdict = "wait"  # on it
        self._split = SplitGate()
        self._handles = StageHandles(desk, slot, self.workers)
        self._error: str | None = None
        self._blocked = False
        self._waiting = ""
        self._flip_ns = 0
        self._last_switch_ns = 0

    @property
    def idle(self) -> bool:
        """Nothing was ever served, nobody asks for it, nothing is to be served."""
        return not (self._row.flip or self.workers or self._pending)

    # From the node

    def set_target(self, target: Target) -> None:
        """Replaces any target before it. HostError: nothing has changed."""
        within_s = self._rules.ready_timeout_s
        kept = self._handles.find(target.keep.digest) if target.keep else None
        if kept is None and target.keep is not None and target.split:
            kept = self._handles.make(target.keep)
        if kept is not None and target.keep is not None:
            self._handles.open(kept, target.keep, target, ready_within_s=within_s)
        serve = self._handles.find(target.serve.digest) or self._handles.make(target.serve)
        self._handles.open(serve, target.serve, target, ready_within_s=within_s)
        superseded, coming = self._pending, {one.handle: one for one in self._coming()}
        self._want_split(target, kept, coming)
        self._pending = self._preparation(target, serve.handle, coming)
        self._error = None
        if superseded is not None and superseded.handle != serve.handle:
            self._handles.retire_unless_kept(superseded.handle)
        self.advance()

    def _want_split(
        self, target: Target, kept: Handle | None, coming: dict[int, Preparation]
    ) -> None:
        if kept is None or not target.split:
            self._split.want(None, 0)
            return
        self._split.want(self._preparation(target, kept.handle, coming), target.split)
        if kept.handle != self._row.handle:
            self._handles.kept_until_s[kept.handle] = inf

    def _preparation(
        self, target: Target, handle: int, coming: dict[int, Preparation]
    ) -> Preparation:
        """What is under way already goes on."""
        if handle in coming:
            return coming[handle].renewed(target)
        delay_s = self._rules.warm_delay_s(target.model, target.stage, target.generation)
        if target.is_rollback_to(self._desk.table.handles[handle].digest):
            delay_s = 0.0
        at_once = self._rules.load_at_once if self._row.handle else 0
        return Preparation(target, handle, self._rules, self._desk.clock() + delay_s, at_once)

    def _tell_coming(self) -> None:
        """Have those load what is on its way whose turn it is."""
        now_s = self._desk.clock()
        for one in self._coming():
            self._have_load(one.handle, one.next_to_load(self.workers, now_s))

    def _have_load(self, handle: int, workers: Iterable[WorkerConnection]) -> None:
        now_s = self._desk.clock()
        for worker in workers:
            self._handles.prepared.send(worker, handle, now_s)

    def tell_waiting(self, why: str) -> None:
        """Why no target comes yet, to whoever attaches meanwhile."""
        if why != self._waiting:
            self._waiting = why
            for worker in self.workers:
                worker.send(Waiting(why).message())

    def observed(self) -> Observed:
        row = self._row
        version = self._desk.table.handles.get(row.handle)
        awaited = self._awaited
        handle = awaited.handle if awaited else row.handle
        received = self._pending.target if self._pending else self.target
        now_s = self._desk.clock()
        return Observed(
            state=self._state(),
            flip=row.flip,
            generation=row.generation,
            choice=row.choice,
            digest=version.digest if version else None,
            number=version.number if version else None,
            workers=len(self.workers),
            ready=sum(worker.leases.get(handle) == "ready" for worker in self.workers),
            switched=sum(worker.flip == row.flip for worker in self.workers) if row.flip else 0,
            standby=self._standby(),
            error=self._error or self._handles.error or self._split.error or self._late_failure(),
            received_ns=received.received_ns if received else 0,
            flip_ns=self._flip_ns,
            last_switch_ns=self._last_switch_ns,
            policy=str(self._rules.policy),
            begins_in_s=round(awaited.begins_in_s(now_s), 1) if awaited else 0.0,
            progress=progress_of(self.workers, handle, self._rules, now_s),
            split=row.split,
        )

    def _standby(self) -> int:
        """Workers that have the other version of the move loaded."""
        keep = self.target.keep if self.target is not None else None
        kept = self._handles.find(keep.digest) if keep is not None else None
        if kept is None:
            return 0
        return sum(worker.leases.get(kept.handle) == "ready" for worker in self.workers)

    def holdings(self) -> Iterator[tuple[str, Holding]]:
        """What is done here with each version, by digest."""
        needed = {self._row.handle, *self._needed()}
        for row in self._desk.table.of_slot(self.slot):
            if row.retired:
                yield row.digest, "leased"
            else:
                yield row.digest, "in force" if row.handle in needed else "kept"

    def let_go(self, digest: str) -> None:
        """End the grace of a version now, if it is in grace."""
        kept, rows = set(self._handles.kept_until_s), self._desk.table.of_slot(self.slot)
        named = [row.handle for row in rows if row.digest == digest]
        self._handles.retire([one for one in named if one in kept - self._needed()])

    # From the workers

    def adoptable(self, held: Iterable[Held]) -> dict[int, str]:
        """The held handles that this host knows -> how far the worker is with each."""
        rows = self._desk.table.handles
        return {
            one.handle: "ready" if one.ready else "loading"
            for one in held
            if (row := rows.get(one.handle)) and row.slot == self.slot and row.digest == one.digest
        }

    def join(self, worker: WorkerConnection) -> None:
        """A worker came, its leases adopted: tell it all that it lacks."""
        now_s, coming = self._desk.clock(), {one.handle: one for one in self._coming()}
        self.workers.add(worker)
        worker.told_s.update(dict.fromkeys(worker.leases, now_s))
        for one in coming.values():
            one.joined(worker)
        for handle in [self._row.handle, *self._others()]:
            waits = coming.get(handle)
            turn = [worker] if waits is None else waits.next_to_load(self.workers, now_s)
            self._have_load(handle, turn)
        if self._waiting:
            worker.send(Waiting(self._waiting).message())
        for handle in list(worker.leases):
            if self._desk.table.handles[handle].retired:
                worker.send(Retire(handle).message())
        self.advance()

    def leave(self, worker: WorkerConnection) -> None:
        self.workers.discard(worker)
        for one in self._coming():
            one.left(worker)
        self._handles.drop_unheld()
        self.advance()

    def heard(
        self,
        worker: WorkerConnection,
        message: Ready | Failed | Late | Switched | Released | Leaving | Requests,
    ) -> None:
        if isinstance(message, Requests):
            self._count(worker, message)
            return  # nothing can flip by it
        if isinstance(message, Leaving):
            worker.leaving = True
        elif isinstance(message, Switched):
            self._on_switched(worker, message)
        elif message.handle not in worker.leases:
            return  # of a lease that has ended
        elif isinstance(message, Released):
            # One that could not load what still stands lets go of it: this remembers so.
            if (
                worker.leases[message.handle] != "failed"
                or self._desk.table.handles[message.handle].retired
            ):
                worker.unlease(message.handle)
                self._handles.drop_unheld()
        else:
            self._on_progress(worker, message)
        self.advance()

    def _on_progress(self, worker: WorkerConnection, message: Ready | Failed | Late) -> None:
        handle, now_s = message.handle, self._desk.clock()
        if isinstance(message, Late) and worker.leases[handle] != "loading":
            return  # sent at the same moment as what came of it
        worker.errors.pop(handle, None)
        if isinstance(message, Ready):
            if worker.leases[handle] != "ready":
                worker.took_s[handle] = now_s - worker.told_s.get(handle, now_s)
                row = self._row
                took_s = worker.took_s[handle]
                self._desk.on_event(LoadedBy(row.model, row.stage, worker.pid, took_s))
            worker.leases[handle] = "ready"
        else:
            worker.leases[handle] = "failed" if isinstance(message, Failed) else "late"
            worker.errors[handle] = message.error
        if not isinstance(message, Late):  # it loads one at a time: now it is the next one's turn
            waiting = [one for one, state in worker.leases.items() if state == "loading"]
            worker.told_s.update(dict.fromkeys(waiting, now_s))

    def _count(self, worker: WorkerConnection, message: Requests) -> None:
        for answered in message.versions:
            if answered.handle in worker.leases:
                row = self._desk.table.handles[answered.handle]
                self.requests.add(row.number, row.digest, answered)

    def _on_switched(self, worker: WorkerConnection, message: Switched) -> None:
        row = self._row
        worker.flip = message.flip
        if (message.flip, message.handle) == (row.flip, row.handle) and self._flip_ns:
            self._last_switch_ns = max(self._last_switch_ns, message.ns)

    # Progress

    def advance(self) -> None:
        """Put the pending target in force if it may be; have those load what is on its way whose
        turn it is now; tell the node that things have changed."""
        if self._awaited is not None or self._split_due:
            self._blocked = False
            try:
                self._judge()
            except HostError as error:
                self._blocked = True  # tried again at the next tick
                self._error = str(error)
        self._tell_coming()
        self._desk.on_change()

    def expire(self, now_s: float) -> None:
        """Retire what was kept long enough; look again at what is overdue or blocked."""
        self._handles.expire(now_s, self._pending.handle if self._pending else 0)
        awaited, rejoining = self._awaited, now_s < self._desk.rejoin_until_s
        self._tell_coming()
        changed = awaited is not None and awaited.changed(self.workers, now_s, rejoining=rejoining)
        if self._blocked or changed:
            self.advance()

    def _judge(self) -> None:
        pending, self._error = self._pending, None
        if pending is not None:
            self._verdict, self._error = self._judged(pending)
            if self._verdict == "flip":
                row = self._desk.table.handles[pending.handle]
                self._put_in_force(pending.target, row)
        elif self.target is not None and self._allows_split():
            self._put_in_force(self.target, self._desk.table.handles[self._row.handle])

    def _allows_split(self) -> bool:
        """Whether the page may say what the split gate wants."""
        split = self._split
        if split.coming is None:
            return True
        split.verdict, split.error = self._judged(split.coming)
        return split.verdict == "flip"

    def _judged(self, coming: Preparation) -> tuple[Verdict, str | None]:
        """The verdict, and why not."""
        row = self._desk.table.handles[coming.handle]
        rollback, now_s = coming.target.is_rollback_to(row.digest), self._desk.clock()
        free = row.was_in_force or rollback or not self._row.handle
        rejoining = now_s < self._desk.rejoin_until_s
        verdict = coming.judge(self.workers, now_s, free=free, rejoining=rejoining)
        if verdict in ("flip", "wait"):
            return verdict, None
        died = verdict == "workers-died"
        why = coming.why_died() if died else self._failure(coming.handle)
        if verdict not in coming.told_reasons:
            coming.told_reasons.add(verdict)
            slot = self._row
            event = HeldBack(slot.model, slot.stage, row.number, verdict, why or "")
            self._desk.on_event(event)
        return verdict, why

    def _put_in_force(self, target: Target, row: Handle) -> None:
        desk, before = self._desk, self._row
        share = self._split.share if self._allows_split() else (0, 0)
        record = Record(before.flip + 1, row.handle, target.generation, target.choice, *share)
        if before.showing(record) != replace(before, flip=record.flip):
            shown = [row, *([desk.table.handles[share[0]]] if share[0] else [])]
            desk.table.save(
                slots=[before.showing(record)],
                handles=[replace(one, was_in_force=True) for one in shown],
            )
            desk.page.store(self.slot, record)
            self._flip_ns, self._last_switch_ns = time.monotonic_ns(), 0
            for worker in self.workers:
                worker.send(Flipped(record.flip, record.handle).message())
            desk.on_event(PutInForce(target.model, target.stage, row.number))
        self.target, self._pending = target, None
        self._handles.kept_until_s.pop(row.handle, None)
        self._have_load(row.handle, self.workers)  # also those whose turn had not come
        if before.handle not in (0, row.handle):
            self._handles.kept_until_s[before.handle] = self._handles.grace_end_s
        self._split.hold(self._handles.kept_until_s, self._handles.grace_end_s)
        self._handles.retire_unreachable(target)
        desk.runtime.point_current(target.model, target.stage, row.path)

    def _others(self) -> list[int]:
        """Pending and kept handles, the pending one first."""
        pending = [self._pending.handle] if self._pending else []
        return pending + [one for one in self._handles.kept_until_s if one not in pending]

    def close(self) -> None:
        self._handles.prepared.close_all()

    # Reading

    @property
    def _row(self) -> Slot:
        return self._desk.table.slots[self.slot]

    def _coming(self) -> list[Preparation]:
        """The target on its way, and the version that a split wants."""
        return [one for one in (self._pending, self._split.coming) if one is not None]

    def _needed(self) -> set[int]:
        """Handles that are on their way, or answer a share."""
        return {self._row.split_handle, *(one.handle for one in self._coming())}

    @property
    def _split_due(self) -> bool:
        """The target is in force, and its split is not."""
        return self._pending is None and self.target is not None and self._split.due(self._row)

    @property
    def _awaited(self) -> Preparation | None:
        return self._split.coming if self._split_due else self._pending

    def _state(self) -> State:
        if self._pending is None and not self._split_due:
            return "waiting" if self.target is None else "serving"
        if self._blocked:
            return "blocked"
        verdict = self._split.verdict if self._split_due else self._verdict
        if verdict == "load-late":
            return "load-late"
        return "preparing" if verdict in ("flip", "wait") else "load-failed"

    @property
    def held_back(self) -> bool:
        verdict = self._split.verdict if self._split_due else self._verdict
        return self._awaited is not None and verdict not in ("flip", "wait")

    def _late_failure(self) -> str | None:
        """A worker that has not loaded what is in force meanwhile, or answers a share."""
        row = self._row
        return self._failure(row.handle) or (self._failure(row.split_handle) if row.split else None)

    def _failure(self, handle: int) -> str | None:
        """One that could not load it, else one that is late."""
        return trouble_of(self.workers, handle, self._rules, self._desk.clock())
