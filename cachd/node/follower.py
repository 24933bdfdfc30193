"""The stream of the log into the local replica, resumed for ever.

Where there are several authorities, the next one is asked when a stream ends.

A round reads records until the checkpoint that covers them and applies them in one transaction, in
a thread. Whatever fails (network, authority, a batch that does not verify) ends the connection;
the next one asks for what is missing. A fork stops adoption and raises the alarm, while the node
goes on serving, until the authority shows a log in which the owners opened a new epoch: then the
replica is built anew from that log, in one transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random

import aiohttp
import structlog

from cachd.control.authorities import Authorities
from cachd.control.limits import (
    PREVIEW_ENTRIES_MAX,
    RECONNECT_S_MAX,
    RECONNECT_S_MIN,
    STREAM_BUFFER_MAX,
    STREAM_IDLE_S_MAX,
)
from registry_core.domain.entry import LogRecord
from registry_core.errors import InvalidInput, RegistryError
from registry_core.ledger.log_frames import RECORD, Frame, FrameParser
from registry_core.ledger.replica import ForkDetected, Replica
from registry_core.ledger.store import Reader

_log = structlog.get_logger("cachd.node")


class LogFollower:
    """Runs until cancelled.

    `on_verified(state, received_ns)` is called when a small batch is verified and not yet on disk,
    `on_applied(received_ns)` when it is; both on the loop. `received_ns` is CLOCK_MONOTONIC when
    the batch's last bytes came in.
    """

    def __init__(
        self,
        replica: Replica,
        session: aiohttp.ClientSession,
        authorities: Authorities,
        on_verified: Callable[[Reader, int], None],
        on_applied: Callable[[int], None],
        rng: Random,
    ) -> None:
        self._replica = replica
        self._session = session
        self._authorities = authorities
        self._on_verified = on_verified
        self._on_applied = on_applied
        self._rng = rng
        self.alarm = ""

    async def run(self) -> None:
        pause_s = RECONNECT_S_MIN
        while True:
            started = time.monotonic()
            authority = self._authorities.url
            try:
                await self._follow(authority)
            except ForkDetected as error:
                self.alarm = str(error)
                _log.error("log fork", error=str(error))
                pause_s = RECONNECT_S_MIN if await self._rebuilt(authority) else RECONNECT_S_MAX
            except (RegistryError, aiohttp.ClientError, TimeoutError, OSError) as error:
                _log.info("log stream ended", error=str(error) or type(error).__name__)
            self._authorities.gave_up_on(authority)
            if time.monotonic() - started > RECONNECT_S_MAX:
                pause_s = RECONNECT_S_MIN
            await asyncio.sleep(pause_s * (0.5 + self._rng.random()))
            pause_s = min(pause_s * 2, RECONNECT_S_MAX)

    async def _follow(self, authority: str) -> None:
        after = await asyncio.to_thread(self._replica.size)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=STREAM_IDLE_S_MAX)
        async with self._session.get(
            f"{authority}/v1/log", params={"after": str(after)}, timeout=timeout
        ) as answer:
            if answer.status != 200:
                raise InvalidInput(f"the authority answered {answer.status} to the log's reader")
            parser, batch, held = FrameParser(), list[LogRecord](), 0
            async for piece in answer.content.iter_any():
                received_ns = time.monotonic_ns()
                for frame in parser.feed(piece):
                    held += len(frame.payload)
                    if held > STREAM_BUFFER_MAX:
                        raise InvalidInput("the log's stream sends too much without a checkpoint")
                    if await self._take(frame, batch, received_ns):
                        batch, held = [], 0

    async def _rebuilt(self, authority: str) -> bool:
        """Follow into a new epoch, if the authority says that there is one."""
        try:
            if await self._epoch_of(authority) <= await asyncio.to_thread(self._replica.epoch):
                return False
            records, note = await self._whole_log(authority)
            await asyncio.to_thread(self._replica.rebuild, records, note)
        except (RegistryError, aiohttp.ClientError, TimeoutError, OSError) as error:
            self.alarm = str(error) or self.alarm
            _log.error("no new epoch was adopted", error=str(error))
            return False
        _log.warning("a new epoch: the replica was built anew", epoch=self._replica.epoch())
        self.alarm = ""
        self._on_applied(time.monotonic_ns())
        return True

    async def _epoch_of(self, authority: str) -> int:
        timeout = aiohttp.ClientTimeout(total=STREAM_IDLE_S_MAX)
        async with self._session.get(f"{authority}/v1/epoch", timeout=timeout) as answer:
            said = await answer.json()
            return int(said.get("epoch", 0))

    async def _whole_log(self, authority: str) -> tuple[list[LogRecord], bytes]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=STREAM_IDLE_S_MAX)
        parser, records, held, note = FrameParser(), list[LogRecord](), 0, b""
        asked = {"after": "0", "follow": "0"}
        async with self._session.get(
            f"{authority}/v1/log", params=asked, timeout=timeout
        ) as answer:
            async for piece in answer.content.iter_any():
                for frame in parser.feed(piece):
                    held += len(frame.payload)
                    if held > STREAM_BUFFER_MAX:
                        raise InvalidInput("the log is too large to be taken at once")
                    if frame.kind == RECORD:
                        records.append(LogRecord.decode(frame.payload))
                    else:
                        note = frame.payload
        return records, note

    async def _take(self, frame: Frame, batch: list[LogRecord], received_ns: int) -> bool:
        """Add a record to the batch, or apply the batch under its checkpoint (True)."""
        if frame.kind == RECORD:
            batch.append(LogRecord.decode(frame.payload))
            return False
        if 0 < len(batch) <= PREVIEW_ENTRIES_MAX:
            self._replica.preview(
                batch, frame.payload, lambda state: self._on_verified(state, received_ns)
            )
        await asyncio.to_thread(self._replica.apply, batch, frame.payload)
        self.alarm = ""
        if batch:
            self._on_applied(received_ns)
        return True
