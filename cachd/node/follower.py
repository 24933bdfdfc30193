"""The stream of the log into the local replica, resumed for ever.

It comes from a relay, where one is named, or from an authority; when a stream ends, the next one of
them is asked, and a relay again after a while. A round reads records until the checkpoint that
covers them and applies them in one transaction, in a thread. Whatever fails (network, authority, a
batch that does not verify) ends the connection; the next one asks for what is missing. A fork stops
adoption and raises the alarm, while the node goes on serving, until an authority shows a log in
which the owners opened a new epoch: then the replica is built anew from that log, in one
transaction. A relay that is only behind is no fork.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import aiohttp
import structlog

from cachd.control.authorities import Authorities
from cachd.control.limits import (
    PREVIEW_ENTRIES_MAX,
    RECONNECT_S_MAX,
    RECONNECT_S_MIN,
    RELAY_AGAIN_S,
    STREAM_BUFFER_MAX,
    STREAM_IDLE_S_MAX,
)
from cachd.node.freshness import Freshness
from registry_core.domain.entry import LogRecord
from registry_core.errors import InvalidInput, RegistryError
from registry_core.ledger.log_frames import AGE, CHECKPOINT, RECORD, Frame, FrameParser, decode_age
from registry_core.ledger.replica import ForkDetected, Replica
from registry_core.ledger.store import Reader

_log = structlog.get_logger("cachd.node")
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=STREAM_IDLE_S_MAX)
_FAILURES = (RegistryError, aiohttp.ClientError, TimeoutError, OSError)


class RelayBehind(RegistryError):
    """A relay has less of the log than this node: others have more."""

    code = "relay_behind"


class LogFollower:
    """Runs until cancelled.

    `on_verified(state, received_ns)` is called when a small batch is verified and not yet on disk,
    `on_applied(received_ns)` when it is; both on the loop. `received_ns` is CLOCK_MONOTONIC when
    the batch's last bytes came in. `freshness` learns how old the replica is.
    """

    def __init__(
        self,
        replica: Replica,
        session: aiohttp.ClientSession,
        sources: Authorities,
        freshness: Freshness,
        on_verified: Callable[[Reader, int], None],
        on_applied: Callable[[int], None],
        rng: Random,
    ) -> None:
        self._replica = replica
        self._session = session
        self._sources = sources
        self._freshness = freshness
        self._on_verified = on_verified
        self._on_applied = on_applied
        self._rng = rng
        self._last_note = b""
        self.alarm = ""

    async def run(self) -> None:
        pause_s = RECONNECT_S_MIN
        while True:
            started, source = time.monotonic(), self._sources.url
            try:
                await self._follow_a_while(source)
            except ForkDetected as error:
                self.alarm = str(error)
                _log.error("log fork", error=str(error))
                pause_s = RECONNECT_S_MIN if await self._rebuilt(source) else RECONNECT_S_MAX
            except _FAILURES as error:
                _log.info("log stream ended", error=str(error) or type(error).__name__)
            self._sources.gave_up_on(source)
            if time.monotonic() - started > RECONNECT_S_MAX:
                pause_s = RECONNECT_S_MIN
            await asyncio.sleep(pause_s * (0.5 + self._rng.random()))
            pause_s = min(pause_s * 2, RECONNECT_S_MAX)

    async def _follow_a_while(self, source: str) -> None:
        """For ever, or until a relay may be back."""
        if not self._sources.could_relay:
            await self._follow(source)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(RELAY_AGAIN_S * (0.5 + self._rng.random())):
                await self._follow(source)
        self._sources.prefer_relays()

    async def _follow(self, source: str) -> None:
        asked = {"after": str(await asyncio.to_thread(self._replica.size))}
        batch, held = list[LogRecord](), 0
        async with self._session.get(f"{source}/v1/log", params=asked, timeout=_TIMEOUT) as answer:
            if answer.status != 200:
                raise InvalidInput(f"{source} answered {answer.status} to the log's reader")
            parser = FrameParser()
            async for piece in answer.content.iter_any():
                received_ns = time.monotonic_ns()
                for frame in parser.feed(piece):
                    held += len(frame.payload)
                    if held > STREAM_BUFFER_MAX:
                        raise InvalidInput("the log's stream sends too much without a checkpoint")
                    if await self._take(frame, batch, received_ns):
                        batch, held = [], 0

    async def _take(self, frame: Frame, batch: list[LogRecord], received_ns: int) -> bool:
        """Add a record to the batch, or apply the batch under its checkpoint (True)."""
        if frame.kind == RECORD:
            batch.append(LogRecord.decode(frame.payload))
            return False
        if frame.kind == AGE:
            self._freshness.heard(decode_age(frame.payload))
            return False
        if not batch and frame.payload == self._last_note:
            return True
        if 0 < len(batch) <= PREVIEW_ENTRIES_MAX:
            self._replica.preview(
                batch, frame.payload, lambda state: self._on_verified(state, received_ns)
            )
        await self._apply(batch, frame.payload)
        self._last_note, self.alarm = frame.payload, ""
        if batch:
            self._on_applied(received_ns)
        return True

    async def _apply(self, batch: list[LogRecord], note: bytes) -> None:
        try:
            await asyncio.to_thread(self._replica.apply, batch, note)
        except ForkDetected:
            behind = not batch and await asyncio.to_thread(self._replica.is_behind, note)
            if self._sources.is_relay and behind:
                raise RelayBehind(f"the relay {self._sources.url} is behind") from None
            raise

    async def _rebuilt(self, source: str) -> bool:
        """Follow into a new epoch, if the source says that there is one."""
        try:
            if await self._epoch_of(source) <= await asyncio.to_thread(self._replica.epoch):
                return False
            records, note = await self._whole_log(source)
            await asyncio.to_thread(self._replica.rebuild, records, note)
        except _FAILURES as error:
            self.alarm = str(error) or self.alarm
            _log.error("no new epoch was adopted", error=str(error))
            return False
        _log.warning("a new epoch: the replica was built anew", epoch=self._replica.epoch())
        self.alarm = ""
        self._on_applied(time.monotonic_ns())
        return True

    async def _epoch_of(self, source: str) -> int:
        timeout = aiohttp.ClientTimeout(total=STREAM_IDLE_S_MAX)
        async with self._session.get(f"{source}/v1/epoch", timeout=timeout) as answer:
            said = await answer.json()
            return int(said.get("epoch", 0))

    async def _whole_log(self, source: str) -> tuple[list[LogRecord], bytes]:
        parser, records, held, note = FrameParser(), list[LogRecord](), 0, b""
        asked = {"after": "0", "follow": "0"}
        async with self._session.get(f"{source}/v1/log", params=asked, timeout=_TIMEOUT) as answer:
            async for piece in answer.content.iter_any():
                for frame in parser.feed(piece):
                    held += len(frame.payload)
                    if held > STREAM_BUFFER_MAX:
                        raise InvalidInput("the log is too large to be taken at once")
                    if frame.kind == RECORD:
                        records.append(LogRecord.decode(frame.payload))
                    elif frame.kind == CHECKPOINT:
                        note = frame.payload
        return records, note
