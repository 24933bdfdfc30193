"""A DNS name that lists peers, asked again when its answer has run out.

An answer counts for its TTL, within bounds. While DNS is away the last good answer counts on: a
node must be able to fetch when everything else is down. An answer that names nobody is good too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

import structlog

from cachd import limits
from cachd.discovery.admission import Admission
from cachd.discovery.dns_lookup import DnsAnswer, DnsAway, look_up, parse_name
from cachd.listen import Address
from cachd.peer.directory import PeerAddress, PeerSource

_CANCEL_AGAIN_S = 0.05
_log = structlog.get_logger("cachd.discovery")


@dataclass(frozen=True, slots=True)
class DnsTimes:
    ttl_s_min: float = limits.DNS_TTL_S_MIN
    ttl_s_max: float = limits.DNS_TTL_S_MAX
    retry_s: float = limits.DNS_RETRY_S
    lookup_s: float = limits.DNS_LOOKUP_S_MAX


class DnsFinder:
    """`run` until cancelled. `found` from any thread. Without `server`, /etc/resolv.conf counts."""

    def __init__(
        self, name: str, server: Address | None, admission: Admission, times: DnsTimes | None = None
    ) -> None:
        self._name = parse_name(name)
        self._server = server
        self._admission = admission
        self._times = times or DnsTimes()
        self._away = False
        self.found: Sequence[PeerAddress] = ()

    async def run(self) -> None:
        wait_s = 0.0
        while True:
            await asyncio.sleep(wait_s)
            wait_s = await self._look()

    async def _look(self) -> float:
        """Ask once; after how many seconds to ask again."""
        times = self._times
        try:
            answer = await _ended(look_up(self._name, self._server, times.lookup_s))
        except DnsAway as error:
            if not self._away:
                _log.warning("DNS is away", error=str(error), peers_kept=len(self.found))
            self._away = True
            return times.retry_s
        if self._away:
            _log.info("DNS is back", name=str(self._name))
        self._away = False
        self.found = self._peers(answer)
        wait_s = min(max(times.ttl_s_min, answer.ttl_s), times.ttl_s_max)
        return min(wait_s, times.retry_s) if answer.unsure else wait_s

    def _peers(self, answer: DnsAnswer) -> Sequence[PeerAddress]:
        if answer.left_out:
            why = f"beyond {limits.DNS_TARGETS_MAX} of one name: split it, for example by zone"
            entry = f"{answer.left_out} targets of {self._name}"
            self._admission.leave_out(PeerSource.DNS, entry, why)
        admitted = (self._admission.admit(PeerSource.DNS, entry) for entry in answer.entries)
        kept = [peer for peer in self.found if peer.node_id.text in answer.unsure]
        return (*filter(None, admitted), *kept)


async def _ended(lookup: Coroutine[None, None, DnsAnswer]) -> DnsAnswer:
    """Its answer. When this is cancelled, the lookup is until it has ended: dnspython waits by
    asyncio.wait_for, which loses a cancellation now and then before Python 3.12."""
    task = asyncio.create_task(lookup)
    try:
        await asyncio.wait({task})
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)
