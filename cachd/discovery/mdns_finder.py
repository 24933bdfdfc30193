"""This node announced on the local network (RFC 6762), and others heard of there.

A node that stops says goodbye and is forgotten at once. One that is killed is forgotten when its
address has run out (its name stays in caches for longer) and it does not answer when asked.
Event loop only; `found` may be read from any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from cachd import limits
from cachd.discovery.admission import Admission
from cachd.discovery.mdns_interfaces import addresses_of
from cachd.discovery.mdns_record import SERVICE, Announcement, entry_of
from cachd.peer.directory import PeerAddress, PeerSource
from registry_core.errors import InvalidInput

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

_log = structlog.get_logger("cachd.discovery")


@dataclass(slots=True)
class _Name:
    """An instance that was heard of. While it does not answer: when to ask again, and how long to
    wait after that."""

    peer: PeerAddress | None = None
    ask_at_s: float = 0.0
    wait_s: float = limits.MDNS_LOOK_S


class MdnsFinder:
    """`start`, then `run` until cancelled, then `stop`."""

    def __init__(
        self,
        interfaces: Sequence[str],
        announcement: Announcement,
        admission: Admission,
        *,
        look_s: float = limits.MDNS_LOOK_S,
        ask_s: float = limits.MDNS_ASK_S,
    ) -> None:
        self._interfaces = interfaces
        self._announcement = announcement
        self._admission = admission
        self._look_s = look_s
        self._ask_s = ask_s
        self._names: dict[str, _Name] = {}
        self._heard = asyncio.Event()
        self._few = asyncio.Semaphore(limits.NAMES_ASKED_AT_ONCE)
        self._mdns: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self.found: Sequence[PeerAddress] = ()

    async def start(self) -> None:
        """Listen. InvalidInput if an interface is not there, or nobody there could reach this
        node."""
        try:
            from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf
        except ImportError:
            raise InvalidInput("--mdns needs zeroconf: pip install 'cachd[discovery]'") from None
        addresses = addresses_of(self._interfaces)
        self._require_reachable(addresses)
        try:
            self._mdns = AsyncZeroconf(interfaces=list(addresses))
        except OSError as error:
            raise InvalidInput(
                f"mDNS cannot be spoken on {', '.join(addresses)}: {error.strerror or error}"
            ) from error
        self._browser = AsyncServiceBrowser(self._mdns.zeroconf, SERVICE, handlers=[self._changed])

    async def run(self) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._announce())
            both.create_task(self._keep_looking())

    async def stop(self) -> None:
        """Say goodbye, and close."""
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._mdns is not None:
            await self._mdns.async_close()
        self.found = ()

    def _require_reachable(self, addresses: Sequence[str]) -> None:
        own = self._announcement.own
        beyond = any(not ipaddress.ip_address(address).is_loopback for address in addresses)
        if beyond and ipaddress.ip_address(own.host).is_loopback:
            raise InvalidInput(
                f"--mdns announces where this node serves chunks, and {own} is reached from this "
                "host alone: --listen on an address of that network, and --trust-network it"
            )

    async def _announce(self) -> None:
        from zeroconf import NonUniqueNameException

        if self._mdns is None:
            raise AssertionError("run before start")
        try:
            await self._require_unique(self._mdns)
            await (await self._mdns.async_register_service(self._announcement.record()))
        except NonUniqueNameException:
            _log.error(
                "another node of this name answers on mDNS: this one is not announced",
                name=str(self._announcement.node),
            )

    async def _require_unique(self, mdns: AsyncZeroconf) -> None:
        """Ask who has this node's name. Zeroconf's own probes (RFC 6762, section 8.1) are answered
        by unicast, which of several processes on a host reaches one, and the last is not waited
        for; here any answer on the network counts."""
        from zeroconf import NonUniqueNameException
        from zeroconf.asyncio import AsyncServiceInfo

        own = AsyncServiceInfo(SERVICE, self._announcement.record().name)
        if await own.async_request(mdns.zeroconf, self._ask_s * 1000):
            raise NonUniqueNameException

    def _changed(self, name: str, state_change: Any, **_: Any) -> None:
        """Called by zeroconf for each instance that comes, changes or says goodbye."""
        from zeroconf import ServiceStateChange

        if state_change is ServiceStateChange.Removed:
            self._names.pop(name, None)
            self._publish()
        elif name in self._names or len(self._names) < limits.MDNS_NAMES_MAX:
            known = self._names.setdefault(name, _Name())
            known.ask_at_s, known.wait_s = 0.0, self._look_s
        else:
            why = f"beyond {limits.MDNS_NAMES_MAX} on one network"
            self._admission.leave_out(PeerSource.MDNS, name, why)
        self._heard.set()

    async def _keep_looking(self) -> None:
        while True:
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._heard.wait()
            self._heard.clear()

    async def _look(self) -> None:
        """At every name: what is cached of it, or what it answers."""
        await asyncio.gather(*(self._look_at(name) for name in list(self._names)))

    async def _look_at(self, name: str) -> None:
        """Whatever was sent under this name, it harms nobody but itself."""
        from zeroconf import Error

        try:
            await self._resolve(name)
        except Error as error:
            self._names.pop(name, None)
            self._publish()
            self._admission.leave_out(PeerSource.MDNS, name, f"no name of a node: {error!r}")

    async def _resolve(self, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        known, info = self._names.get(name), AsyncServiceInfo(SERVICE, name)
        if known is None or self._mdns is None:
            return
        if info.load_from_cache(self._mdns.zeroconf):
            self._settle(known, info)
        elif time.monotonic() >= known.ask_at_s:
            async with self._few:
                there = await info.async_request(self._mdns.zeroconf, self._ask_s * 1000)
            self._settle(known, info if there else None)
            if there:
                known.wait_s = self._look_s
            else:
                known.ask_at_s = time.monotonic() + known.wait_s
                known.wait_s = min(2 * known.wait_s, limits.MDNS_ASK_AGAIN_S_MAX)

    def _settle(self, known: _Name, info: AsyncServiceInfo | None) -> None:
        peer = self._admitted(info) if info is not None else None
        if peer != known.peer:
            known.peer = peer
            self._publish()

    def _admitted(self, info: AsyncServiceInfo) -> PeerAddress | None:
        try:
            entry = entry_of(info, self._announcement.registry)
        except InvalidInput as error:
            self._admission.leave_out(PeerSource.MDNS, info.name, str(error))
            return None
        return self._admission.admit(PeerSource.MDNS, entry)

    def _publish(self) -> None:
        peers = (known.peer for known in self._names.values())
        self.found = tuple(peer for peer in peers if peer is not None)
