"""The node's side of serving: flip page, local socket, handles, leases, grace.

    host = ServingHost(runtime_dir, grace_s=600, ...)
    await host.start()
    host.set_target(Target(...))      # prepare in all workers, flip once they are ready
    host.observed("minilm", "production")
    await host.stop()

Threads: everything happens on one event loop; nothing here waits.
Start: lock, table, page (stored anew up to what the table meant), listener. Stop: workers'
sockets, page, listener, lock: workers go on with what they hold and attach to the next host.
A kill at any instant leaves what stop leaves, and a socket file that the next start replaces,
unless a service manager kept the socket: then the next start goes on with it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from cachd.serve import from_worker
from cachd.serve.allowed_uids import WHOEVER_CONNECTS, AllowedUids
from cachd.serve.desk import Desk
from cachd.serve.flip_events import FlipEvent
from cachd.serve.flip_page import FlipPage, FlipPageDamaged, FlipPageError
from cachd.serve.flip_rules import FlipRules
from cachd.serve.from_daemon import Attached, Refused
from cachd.serve.from_worker import PROTOCOL, Attach
from cachd.serve.handle_table import HandleTable, Slot
from cachd.serve.host_errors import HostError, RuntimeDirUnusable, SlotsExhausted
from cachd.serve.limits import (
    ACCEPTS_PER_WAKE,
    ATTACH_DEADLINE_S,
    EXPIRE_TICK_S,
    PAGE_SLOTS_DEFAULT,
    READOPT_S,
    REJOIN_S,
    WORKERS_MAX,
)
from cachd.serve.names import name_tag
from cachd.serve.request_counts import VersionCounts
from cachd.serve.resident import Holding, Observed, Standing, Target
from cachd.serve.runtime_dir import RuntimeDir
from cachd.serve.stage_serving import StageServing
from cachd.serve.wire import WireError
from cachd.serve.worker_connection import WorkerConnection
from cachd.service_manager import ServiceManager

_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class ServingHost:
    """`on_attach(model, stage)`: a worker asks for this; `on_change()`: `observed` or
    `leased_digests` may differ. Both run on the loop, soon after, never inside a call into here.
    `grace_of(model, stage)` where not all have `grace_s`; `pinned(digest)`: workers keep it past
    its grace.
    `on_event` gets flips and what holds them back as it happens, and must not call into here.
    `rules(model, stage)`: how it flips; without, as soon as all workers are ready, which may take
    them `ready_timeout_s`."""

    def __init__(
        self,
        runtime_dir: str | os.PathLike[str],
        *,
        grace_s: float,
        grace_of: Callable[[str, str], float] | None = None,
        ready_timeout_s: float = 60.0,
        rules: Callable[[str, str], FlipRules] | None = None,
        page_slots: int = PAGE_SLOTS_DEFAULT,
        readopt_s: float = READOPT_S,
        incarnation: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        service: ServiceManager | None = None,
        allowed: AllowedUids = WHOEVER_CONNECTS,
        on_attach: Callable[[str, str], None] = lambda _model, _stage: None,
        on_change: Callable[[], None] = lambda: None,
        pinned: Callable[[str], bool] = lambda _digest: False,
        on_event: Callable[[FlipEvent], None] = lambda _event: None,
    ) -> None:
        self._runtime_path = os.fspath(runtime_dir)
        self._grace_of = grace_of or (lambda _model, _stage: grace_s)
        by_default = FlipRules(ready_timeout_s=ready_timeout_s)
        self._rules = rules or (lambda _model, _stage: by_default)
        self._on_event = on_event
        self._page_slots = page_slots
        self._readopt_s = readopt_s
        self._given_incarnation = incarnation
        self._clock = clock
        self._service = service or ServiceManager()
        self._allowed = allowed
        self._on_attach = on_attach
        self._on_change = on_change
        self._pinned = pinned
        self._change_told = True
        self._connections: set[WorkerConnection] = set()
        self._stages: dict[tuple[str, str], StageServing] = {}
        self._waiting: dict[tuple[str, str], str] = {}
        self._accepting = False

    async def start(self) -> None:
        """HostRunning, RuntimeDirUnusable, TableDamaged: the message says what to do."""
        self._loop = asyncio.get_running_loop()
        self._runtime = RuntimeDir(self._runtime_path, self._service)
        try:
            self._table = HandleTable(self._runtime.table_path)
            self._open_page()
            self._listener = self._runtime.listen()
        except BaseException:
            self._runtime.release()
            raise
        readopt_s = self._readopt_s if self._table.handles else 0.0
        self._desk = Desk(
            table=self._table,
            page=self._page,
            runtime=self._runtime,
            grace_of=self._grace_of,
            rules=self._rules,
            on_event=self._on_event,
            readopt_until_s=self._clock() + readopt_s,
            rejoin_until_s=self._clock() + min(readopt_s, REJOIN_S),
            clock=self._clock,
            on_change=self._changed,
            pinned=self._pinned,
        )
        for row in self._table.slots.values():
            self._stages[row.model, row.stage] = StageServing(self._desk, row.slot)
        self._accept_on()
        self._ticker = self._loop.create_task(self._tick(), name="serving host tick")

    async def stop(self) -> None:
        self._ticker.cancel()
        await asyncio.gather(self._ticker, return_exceptions=True)
        self._accept_off()
        for connection in list(self._connections):
            connection.close()
        for stage in self._stages.values():
            stage.close()
        self._page.close()
        os.close(self._page_fd)
        self._runtime.release()

    @property
    def socket_path(self) -> str:
        return self._runtime.socket_path

    @property
    def incarnation(self) -> int:
        return self._table.incarnation

    # The node's calls

    def set_target(self, target: Target) -> None:
        """What this model@stage is to serve from now on; replaces a target that is not in force
        yet. Idempotent. VersionMissing, TooManyVersions, SlotsExhausted, HostError: nothing
        changed."""
        self._stage(target.model, target.stage).set_target(target)

    def observed(self, model: str, stage: str) -> Observed:
        serving = self._stages.get((model, stage))
        if serving is None:
            return Observed("waiting", 0, 0, 0, None, None, 0, 0, 0, 0, None, 0, 0, 0)
        return serving.observed()

    def requests(self, model: str, stage: str) -> list[VersionCounts]:
        """What workers have told of the requests that each version answered."""
        serving = self._stages.get((model, stage))
        return [] if serving is None else serving.requests.all()

    def all_requests(self) -> list[tuple[str, str, VersionCounts]]:
        """The same of all: model, stage, counts."""
        return [
            (model, stage, counts)
            for (model, stage), serving in self._stages.items()
            for counts in serving.requests.all()
        ]

    def standing(self) -> list[Standing]:
        """What is in force and kept here, of every model@stage."""
        return self._table.standing()

    def leased_digests(self) -> set[str]:
        """Versions that must stay resident: in force, pending, in grace, or held by a worker."""
        return {row.digest for row in self._table.handles.values()}

    def held_back(self) -> int:
        """Stages whose target workers could not load, or not in time."""
        return sum(stage.held_back for stage in self._stages.values())

    @property
    def has_workers(self) -> bool:
        return bool(self._connections)

    @property
    def answers_requests(self) -> bool:
        """Workers are attached, and there is a version for some of them."""
        return bool(self._connections) and bool(self._table.handles)

    def tell_waiting(self, model: str, stage: str, why: str) -> None:
        """Why this model@stage has no new target yet, in words; empty: nothing is wrong."""
        self._waiting[model, stage] = why
        serving = self._stages.get((model, stage))
        if serving is not None:
            serving.tell_waiting(why)

    def holdings(self) -> dict[str, Holding]:
        """What is done with each of these, by digest; where stages differ, the most."""
        order: tuple[Holding, ...] = ("leased", "kept", "in force")
        found: dict[str, Holding] = {}
        for stage in self._stages.values():
            for digest, holding in stage.holdings():
                found[digest] = max(found.get(digest, holding), holding, key=order.index)
        return found

    def let_go(self, digest: str) -> None:
        """Its grace is over, whatever time is left: its memory is needed."""
        for stage in self._stages.values():
            stage.let_go(digest)

    def expire(self, now_s: float) -> None:
        """All that happens by the clock; called every EXPIRE_TICK_S, and by tests."""
        for stage in self._stages.values():
            stage.expire(now_s)
        for connection in list(self._connections):
            if connection.stage is None and now_s >= connection.deadline_s:
                connection.lose()
        self._accept_on()

    # Start and time

    def _open_page(self) -> None:
        table, path, slots = self._table, self._runtime.page_path, self._page_slots
        incarnation = self._given_incarnation or table.incarnation + 1
        try:
            try:
                page = FlipPage.create_or_open(path, slots, incarnation=incarnation)
            except FlipPageError as error:
                # Without a table (another boot's is removed) nothing on the page counts.
                if table.incarnation and not isinstance(error, FlipPageDamaged):
                    raise
                page = FlipPage.replace(path, slots, incarnation=incarnation)
            self._page_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (OSError, FlipPageError) as error:
            raise RuntimeDirUnusable(f"flip page: {error}") from error
        self._page = page
        # A table that was lost must not give handles that words of the page still show.
        shown = [page.record(slot).handle for slot in range(slots)]
        table.next_handle = max(table.next_handle, *(one + 1 for one in shown))
        table.save(incarnation=incarnation, slots=list(map(self._agreed, table.slots.values())))

    def _agreed(self, row: Slot) -> Slot:
        """Table and page say the same; the later of the two counts, usually the table."""
        page = self._page
        page.claim(row.slot, name_tag(row.model, row.stage))
        record = page.record(row.slot)
        if row.flip > record.flip and row.handle:
            page.store(row.slot, row.record)  # killed between the table and the word
        if record.flip <= row.flip:
            return row
        named = self._table.handles.get(record.handle)
        if named is not None and named.slot == row.slot:
            return row.showing(record)
        return Slot(row.slot, row.model, row.stage, flip=record.flip)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_TICK_S)
            self.expire(self._clock())

    def _changed(self) -> None:
        if self._change_told:
            self._change_told = False
            self._loop.call_soon(self._tell_change)

    def _tell_change(self) -> None:
        self._change_told = True
        self._on_change()

    def _stage(self, model: str, stage: str) -> StageServing:
        """The stage's serving, with a slot of the page: its old one, or a free one."""
        found = self._stages.get((model, stage))
        if found is not None:
            return found
        tag = name_tag(model, stage)
        if len(self._table.slots) == self._page.slots:
            self._forget_idle()
        slot = self._slot_for(tag)
        self._table.save(slots=[Slot(slot, model, stage, flip=self._page.record(slot).flip)])
        self._page.claim(slot, tag)
        self._stages[model, stage] = made = StageServing(self._desk, slot)
        made.tell_waiting(self._waiting.get((model, stage), ""))
        return made

    def _slot_for(self, tag: int) -> int:
        free = [slot for slot in range(self._page.slots) if slot not in self._table.slots]
        for slot in free:
            if self._page.tag(slot) == tag:
                return slot
        for slot in free:
            if self._page.record(slot).flip == 0:
                return slot
        if free:
            return free[0]
        raise SlotsExhausted(
            f"all {self._page.slots} slots of the flip page are taken: configure more"
        )

    def _forget_idle(self) -> None:
        idle = [name for name, stage in self._stages.items() if stage.idle]
        self._table.save(dropped_slots=[self._stages[name].slot for name in idle])
        for name in idle:
            del self._stages[name]

    # Workers

    def _accept_on(self) -> None:
        if not self._accepting:
            self._accepting = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept_off(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_WAKE):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._accept_off()  # until the next tick: there may be descriptors again
                return
            self._greet(sock)

    def _greet(self, sock: socket.socket) -> None:
        connection = WorkerConnection(
            sock,
            on_frame=self._on_frame,
            on_gone=self._on_gone,
            deadline_s=self._clock() + ATTACH_DEADLINE_S,
        )
        self._connections.add(connection)
        if len(self._connections) > WORKERS_MAX:
            self._refuse(
                connection, "too_many_workers", f"this host has {WORKERS_MAX} workers", again=True
            )

    def _refuse(self, connection: WorkerConnection, code: str, text: str, *, again: bool) -> None:
        connection.send(Refused(code, text, again=again).message())
        connection.lose()

    def _on_gone(self, connection: WorkerConnection) -> None:
        self._connections.discard(connection)
        if connection.stage is not None:
            connection.stage.leave(connection)

    def _on_frame(self, connection: WorkerConnection, frame: dict[str, Any]) -> None:
        """WireError: the connection is closed, and nothing else happens."""
        if connection.stage is None and frame.get("op") == "attach":
            self._on_attach_frame(connection, frame)
            return
        message = from_worker.parse(frame)
        if message is None:
            return  # of a later release
        if connection.stage is None or isinstance(message, Attach):
            raise WireError("a connection begins with `attach`, once")
        connection.stage.heard(connection, message)

    def _on_attach_frame(self, connection: WorkerConnection, frame: dict[str, Any]) -> None:
        if frame.get("protocol") != PROTOCOL:
            text = (
                f"the daemon speaks protocol {PROTOCOL}, not {frame.get('protocol')!r:.20}: "
                "install the same release of cachd for both"
            )
            self._refuse(connection, "protocol", text, again=False)
            return
        attach = Attach.parse(frame)
        text = self._allowed.refusal(connection.uid, attach.model, attach.stage)
        if text:
            self._refuse(connection, "not_allowed", text, again=False)
            return
        try:
            stage = self._stage(attach.model, attach.stage)
        except HostError as error:
            self._refuse(connection, "not_now", str(error), again=True)
            return
        connection.stage = stage
        connection.leases = stage.adoptable(attach.held)
        adopted = frozenset(connection.leases)
        grace_s = self._grace_of(attach.model, attach.stage)
        welcome = Attached(stage.slot, self._page.slots, self.incarnation, grace_s, adopted)
        connection.send(welcome.message(), [self._page_fd])
        stage.join(connection)
        self._loop.call_soon(self._on_attach, attach.model, attach.stage)
