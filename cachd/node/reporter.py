"""Telling the authority what is served, and learning who the peers are.

Reports go out at once after a change (a burst makes one report) and every few seconds without any.
The peers of the last answer are kept while the authority is away. Event loop only, but for `told`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec
import structlog

from cachd.control.authorities import Authorities
from cachd.control.limits import REPORT_DEBOUNCE_S, REPORT_INTERVAL_S, TOLD_LATELY_S
from cachd.control.reports import NodeReport, PeerBody, ReportAnswer

_log = structlog.get_logger("cachd.node")


@dataclass(frozen=True, slots=True)
class Told:
    """What the authority answered last. `lately`: so lately that no peer can have moved since
    without its knowing."""

    peers: Sequence[PeerBody]
    lately: bool


class Reporter:
    """`describe` makes the report; `told` is from any thread."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        authorities: Authorities,
        node: str,
        describe: Callable[[], NodeReport],
    ) -> None:
        self._session = session
        self._authorities = authorities
        self._node = node
        self._describe = describe
        self._changed = asyncio.Event()
        self._answer: tuple[list[PeerBody], float] = ([], 0.0)
        self._peers_known = ""

    def told(self) -> Told:
        peers, at_s = self._answer
        return Told(peers, time.monotonic() - at_s < TOLD_LATELY_S)

    def changed(self) -> None:
        """Something worth telling has changed."""
        self._changed.set()

    async def run(self) -> None:
        while True:
            await self._report()
            try:
                async with asyncio.timeout(REPORT_INTERVAL_S):
                    await self._changed.wait()
                await asyncio.sleep(REPORT_DEBOUNCE_S)
            except TimeoutError:
                pass
            self._changed.clear()

    async def _report(self) -> None:
        report = self._describe()
        report.peers_known = self._peers_known
        body = msgspec.json.encode(report)
        timeout = aiohttp.ClientTimeout(total=REPORT_INTERVAL_S)
        headers = {"Content-Type": "application/json"}
        authority = self._authorities.url
        try:
            async with self._session.put(
                f"{authority}/v1/nodes/{self._node}", data=body, headers=headers, timeout=timeout
            ) as answer:
                data = await answer.read()
                if answer.status == 200:
                    told = msgspec.json.decode(data, type=ReportAnswer)
                    peers = self._answer[0] if told.peers is None else told.peers
                    self._answer, self._peers_known = (peers, time.monotonic()), told.version
                else:
                    _log.warning("report refused", status=answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            _log.debug("no report", error=str(error))
            self._authorities.gave_up_on(authority)
