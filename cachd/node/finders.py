"""Peers beside those that the authority names: as this host was told, as DNS says, and as they
announce themselves on the local network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from cachd.discovery.admission import Admission
from cachd.discovery.dns_finder import DnsFinder
from cachd.discovery.mdns_finder import MdnsFinder
from cachd.discovery.mdns_record import Announcement
from cachd.listen import Address
from cachd.node.config import NodeConfig
from cachd.peer.directory import PeerAddress, PeerSource


class Finders:
    """`start`, `run`, then `stop`, on the event loop; `found` from any thread. `own` is where this
    node serves chunks."""

    def __init__(self, config: NodeConfig, own: Address, registry: str) -> None:
        self._static = config.peers
        admission = Admission(config.name, config.region, own, config.trusted)
        self._dns = [DnsFinder(name, config.dns_server, admission) for name in config.peers_dns]
        self._mdns: MdnsFinder | None = None
        if config.mdns:
            announced = Announcement(config.name, own, registry, config.region, config.zone)
            self._mdns = MdnsFinder(config.mdns, announced, admission)

    def found(self) -> Iterator[tuple[PeerSource, PeerAddress]]:
        """Those that count first, first."""
        for peer in self._static:
            yield PeerSource.STATIC, peer
        for finder in self._dns:
            for peer in finder.found:
                yield PeerSource.DNS, peer
        for peer in self._mdns.found if self._mdns is not None else ():
            yield PeerSource.MDNS, peer

    async def start(self) -> None:
        """Raises what keeps mDNS from being spoken."""
        if self._mdns is not None:
            await self._mdns.start()

    def run(self, group: asyncio.TaskGroup) -> None:
        """In tasks of the group, until they are cancelled."""
        for finder in self._dns:
            group.create_task(finder.run(), name="dns finder")
        if self._mdns is not None:
            group.create_task(self._mdns.run(), name="mdns finder")

    async def stop(self) -> None:
        """Say goodbye to peers."""
        if self._mdns is not None:
            await self._mdns.stop()
