"""One webhook: its events in the log's order, each until it is delivered or given up. Event loop.

What came of each attempt is written before the next one begins, so a crash repeats at most the last
one. A worker knows its webhook as of one revision; after a change another one is started.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cachd.authority.delivery.event_log import EventLog
from cachd.authority.delivery.lease import Lease
from cachd.authority.delivery.message import Message
from cachd.authority.delivery.outcome import Answer, Outcome, Verdict, judge
from cachd.authority.delivery.sender import Sender
from cachd.authority.delivery.settings import TROUBLE_S, DeliverySettings
from cachd.authority.delivery.threads import Threads
from registry_core.domain import limits
from registry_core.errors import LedgerUnavailable, NotOwner
from registry_core.ledger.webhooks.deliveries import Deliveries
from registry_core.ledger.webhooks.records import AttemptRecord, WebhookRecord
from registry_core.ledger.webhooks.webhooks import Standing, Webhooks

_log = structlog.get_logger("cachd.authority")


@dataclass(frozen=True, slots=True)
class Tools:
    """What all workers share."""

    registry: str
    settings: DeliverySettings
    webhooks: Webhooks
    deliveries: Deliveries
    events: EventLog
    sender: Sender
    lease: Lease
    threads: Threads
    count: Callable[[str], None]
    """Told the outcome of each attempt."""
    draw: Callable[[], float] = random.random


class Worker:
    """`run` ends when the webhook is disabled; NotFound says that it was removed, NotOwner that
    another authority delivers by now."""

    def __init__(self, tools: Tools, name: str) -> None:
        self._tools = tools
        self._name = name

    async def run(self) -> None:
        standing = await self._tools.threads.run(lambda: self._tools.webhooks.standing(self._name))
        webhook = standing.webhook
        failed, wait_s = webhook.attempts, (webhook.retry_ms - standing.now_ms) / 1000
        position = noted = webhook.cursor
        while True:
            batch = await self._tools.events.beyond(webhook.filter, position)
            for event in batch.events:
                message = Message.of(self._tools.registry, event)
                await asyncio.sleep(max(0.0, wait_s))
                if not await self._deliver(standing, message, failed):
                    return
                failed, wait_s, noted = 0, 0.0, message.sequence
            position = batch.next
            if position - noted >= limits.EVENT_STEPS_MAX:  # so long is what a start looks through
                await self._pass(webhook, position)
                noted = position

    async def _deliver(self, standing: Standing, message: Message, failed: int) -> bool:
        """Try until it is settled; whether the webhook is still enabled then."""
        while True:
            answer = await self._attempt(standing, message)
            verdict = judge(self._tools.settings, answer, failed, self._tools.draw())
            await self._note(standing.webhook, message, answer, verdict)
            if verdict.outcome is not Outcome.RETRY:
                return verdict.outcome is not Outcome.DISABLED
            failed += 1
            await asyncio.sleep(verdict.delay_s)

    async def _attempt(self, standing: Standing, message: Message) -> Answer:
        if not self._tools.lease.held:
            raise NotOwner("this authority could not renew its lease: another may deliver by now")
        return await send_now(self._tools.sender, standing, message)

    async def _note(
        self, webhook: WebhookRecord, message: Message, answer: Answer, verdict: Verdict
    ) -> None:
        deliveries, record = self._tools.deliveries, attempt_record(message, answer, verdict)

        def write() -> None:
            match verdict.outcome:
                case Outcome.DELIVERED:
                    deliveries.delivered(webhook, record)
                case Outcome.RETRY:
                    deliveries.failed(webhook, record, round(verdict.delay_s * 1000))
                case Outcome.DEAD:
                    deliveries.died(webhook, record, message.subject)
                case Outcome.DISABLED:
                    deliveries.disabled(webhook, record, "the receiver answered 410 Gone")

        self._tools.count(verdict.outcome.value)
        await self._written(write)
        if verdict.outcome is not Outcome.DELIVERED:
            _log.warning(
                "not delivered", webhook=webhook.name, sequence=message.sequence,
                outcome=verdict.outcome.value, error=answer.error,
                again_in_s=round(verdict.delay_s, 1),
            )  # fmt: skip

    async def _written(self, write: Callable[[], None]) -> None:
        """A store that fails for a while does not make us send again what was sent."""
        while True:
            try:
                await self._tools.threads.run(write)
                return
            except LedgerUnavailable as error:
                _log.warning("delivery waits for the store", to=self._name, error=str(error))
                await asyncio.sleep(TROUBLE_S)

    async def _pass(self, webhook: WebhookRecord, position: int) -> None:
        await self._tools.threads.run(lambda: self._tools.deliveries.passed(webhook, position))


async def send_now(sender: Sender, standing: Standing, message: Message) -> Answer:
    """Sign and send, with the secrets that are valid at this moment."""
    now_s = time.time()
    headers = message.headers(standing.secrets.valid(round(now_s * 1000)), int(now_s))
    return await sender.send(standing.webhook.url, headers, message.body)


def attempt_record(message: Message, answer: Answer, verdict: Verdict) -> AttemptRecord:
    return AttemptRecord(
        time_ms=time.time_ns() // 1_000_000, sequence=message.sequence, type=message.type,
        outcome=verdict.outcome.value, status=answer.status, error=answer.error,
        duration_ms=answer.duration_ms,
    )  # fmt: skip
