"""Who delivers, and the tasks that do: one per webhook, and one for NATS. Event loop only.

Of the authorities that share a store one has the lease. Once a second it renews it and compares its
tasks with the webhooks there are, by name, id and revision: what is new is started, what has gone
or was changed is stopped. An authority that loses the lease stops all of them. Receivers do not
wait for each other: each has a task and at most one request under way.

Stopping: the tasks end, the lease is released, another authority goes on at once. After a kill it
goes on when the lease has run out. What was under way is delivered again.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable

import structlog

from cachd.api.log_watch import LogWatch
from cachd.authority.delivery.event_log import EventLog
from cachd.authority.delivery.lease import Lease
from cachd.authority.delivery.message import Message
from cachd.authority.delivery.outcome import Outcome, Verdict
from cachd.authority.delivery.sender import Sender
from cachd.authority.delivery.settings import (
    BY_HAND_MAX,
    LOOK_S,
    THREADS,
    TROUBLE_S,
    DeliverySettings,
    NatsSettings,
)
from cachd.authority.delivery.threads import Threads
from cachd.authority.delivery.worker import Tools, Worker, attempt_record, send_now
from registry_core.errors import NotFound, NotOwner, RegistryError
from registry_core.ledger.ledger import Ledger
from registry_core.ledger.position import Position
from registry_core.ledger.webhooks.deliveries import Deliveries
from registry_core.ledger.webhooks.records import AttemptRecord
from registry_core.ledger.webhooks.webhooks import Webhooks

_log = structlog.get_logger("cachd.authority")
_Job = tuple[str, str, int]
"""Name, id and revision."""
_NATS: _Job = ("", "nats", 0)


class Delivery:
    """`run` is one task for the authority's whole life; `close` comes after the last request."""

    def __init__(
        self,
        ledger: Ledger,
        registry: str,
        watch: LogWatch,
        settings: DeliverySettings,
        count: Callable[[str], None],
        nats: NatsSettings | None = None,
    ) -> None:
        store = ledger.store
        self._threads = Threads(THREADS, "delivery")
        self._lease_threads = Threads(1, "delivery-lease")  # never behind a write that waits
        self._lease = Lease(store, uuid.uuid4().hex)
        self._tools = Tools(
            registry=registry,
            settings=settings,
            webhooks=Webhooks(store),
            deliveries=Deliveries(store, registry, self._lease.require),
            events=EventLog(ledger, registry, watch, self._threads),
            sender=Sender(settings.timeout_s),
            lease=self._lease,
            threads=self._threads,
            count=count,
        )
        self._publish = self._publisher(nats, Position(store, "nats", self._lease.require))
        self._by_hand = asyncio.Semaphore(BY_HAND_MAX)
        self._poked = asyncio.Event()
        self._token: int | None = None
        self._tasks: dict[_Job, asyncio.Task[None]] = {}

    def poke(self) -> None:
        """Look for changed webhooks now."""
        self._poked.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                self._poked.clear()
                pause_s = LOOK_S
                try:
                    pause_s = await self._look()
                except RegistryError as error:
                    _log.warning("delivery cannot look at the store", error=str(error))
                    if not self._lease.held:
                        await self._stop(list(self._tasks))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._poked.wait()
        finally:
            await self._stop(list(self._tasks))
            with contextlib.suppress(RegistryError):
                await self._lease_threads.run(self._lease.release)

    async def close(self) -> None:
        await self._tools.sender.close()
        self._threads.close()
        self._lease_threads.close()

    async def test(self, name: str) -> AttemptRecord:
        """Send a test event now; what came of it."""
        message = Message.test(self._tools.registry, name, uuid.uuid4().hex)
        return await self._send_by_hand(name, message)

    async def redeliver(self, name: str, sequence: int) -> AttemptRecord:
        """Send a dead letter once more; it is forgotten if it arrives."""
        tools = self._tools
        event = await self._threads.run(lambda: tools.deliveries.dead_event(name, sequence))
        return await self._send_by_hand(name, Message.of(tools.registry, event))

    async def _send_by_hand(self, name: str, message: Message) -> AttemptRecord:
        tools = self._tools
        standing = await self._threads.run(lambda: tools.webhooks.standing(name))
        async with self._by_hand:
            answer = await send_now(tools.sender, standing, message)
        verdict = Verdict(Outcome.DELIVERED if answer.success else Outcome.DEAD)
        record = attempt_record(message, answer, verdict)
        await self._threads.run(lambda: tools.deliveries.tried_by_hand(standing.webhook, record))
        return record

    async def _look(self) -> float:
        """Renew, and have a task for each webhook that is enabled and for no other. How long to
        wait until the next look: not as long while another has what is to be taken over."""
        webhooks = await self._lease_threads.run(self._tools.webhooks.all)
        jobs = {(one.name, one.id, one.revision) for one in webhooks if one.enabled}
        if self._publish is not None:
            jobs.add(_NATS)
        token = await self._lease_threads.run(self._renew if jobs else self._give_up)
        if token != self._token:  # others may have delivered since: begin from what they left
            await self._stop(list(self._tasks))
            self._token = token
            _log.info("delivers events" if token is not None else "delivers no events")
        wanted = jobs if token is not None else set()
        ended = [job for job, task in self._tasks.items() if task.done()]
        await self._stop([*ended, *(self._tasks.keys() - wanted - set(ended))])
        for job in wanted - self._tasks.keys():
            self._start(job)
        return LOOK_S / 2 if jobs and token is None else LOOK_S

    def _renew(self) -> int | None:
        return self._lease.renew()

    def _give_up(self) -> None:
        """Nothing is to be delivered: no need to write each second who would."""
        self._lease.release()

    def _start(self, job: _Job) -> None:
        name, kind, _ = job
        run = self._publish if job == _NATS else Worker(self._tools, name).run
        if run is not None:
            self._tasks[job] = asyncio.create_task(_go_on(run, name or kind), name="delivery")

    async def _stop(self, jobs: list[_Job]) -> None:
        tasks = [self._tasks.pop(job) for job in jobs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _publisher(
        self, settings: NatsSettings | None, position: Position
    ) -> Callable[[], Awaitable[None]] | None:
        if settings is None:
            return None
        from cachd.authority.delivery.nats_publisher import NatsPublisher

        tools = self._tools
        return NatsPublisher(
            settings, tools.registry, tools.events, position, tools.lease, tools.threads
        ).run


async def _go_on(run: Callable[[], Awaitable[None]], name: str) -> None:
    """Until it has nothing more to do; a store that fails is tried again."""
    while True:
        try:
            await run()
            return
        except (NotOwner, NotFound) as error:
            _log.info("delivery ends", to=name, reason=str(error))
            return
        except RegistryError as error:
            _log.warning("delivery waits for the store", to=name, error=str(error))
        except Exception:
            _log.exception("delivery failed", to=name)
        await asyncio.sleep(TROUBLE_S)
