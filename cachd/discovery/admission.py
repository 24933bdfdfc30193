"""Which of the entries that were found become peers.

Whoever can answer for a name, or speaks on the network, can make entries. So they count for less
than what a person wrote: an entry is left out if it is this node itself (by name, or by address and
port), of another region, or not an address of a trusted network; and a loopback address where this
node does not listen on loopback itself, since it then means another host's. Each entry that is left
out is logged once.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import structlog

from cachd import limits
from cachd.listen import Address
from cachd.peer.directory import PeerAddress, PeerSource
from cachd.peer.trusted import TrustedNetworks
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidInput

_log = structlog.get_logger("cachd.discovery")


@dataclass(frozen=True, slots=True)
class Entry:
    """As it was found, with nothing checked. Any of `addresses` (numeric) leads there; an empty
    `region` is taken for this node's."""

    node: str
    addresses: tuple[str, ...]
    port: int
    region: str = ""
    zone: str = ""

    def __str__(self) -> str:
        return f"{self.node}={'|'.join(self.addresses)}:{self.port}@{self.region}/{self.zone}"


class Admission:
    """`own` is where this node serves chunks. Event loop only."""

    def __init__(self, node: NodeId, region: str, own: Address, trusted: TrustedNetworks) -> None:
        self._node = node
        self._region = region
        self._own = PeerAddress(node, own.host, own.port)
        self._trusted = trusted
        self._left_out: set[tuple[PeerSource, str]] = set()

    def admit(self, source: PeerSource, entry: Entry) -> PeerAddress | None:
        """The peer, or None."""
        try:
            return self._checked(entry)
        except InvalidInput as error:
            self.leave_out(source, str(entry), str(error))
            return None

    def leave_out(self, source: PeerSource, entry: str, why: str) -> None:
        """Say so, once."""
        if (source, entry) in self._left_out:
            return
        if len(self._left_out) >= limits.LEFT_OUT_REMEMBERED_MAX:
            self._left_out.clear()
        self._left_out.add((source, entry))
        _log.info("entry left out", source=str(source), entry=entry[:300], why=why)

    def _checked(self, entry: Entry) -> PeerAddress:
        region = entry.region or self._region
        found = [
            PeerAddress.of(entry.node, host, entry.port, region, entry.zone)
            for host in entry.addresses[: limits.ADDRESSES_PER_ENTRY_MAX]
        ]
        if not found:
            raise InvalidInput("it has no address")
        if entry.node == self._node.text:
            raise InvalidInput("it is this node, or has its name")
        if any(address.place == self._own.place for address in found):
            raise InvalidInput("it is this node, under another name")
        if region != self._region:
            raise InvalidInput(f"it is of region {region}, this node of {self._region}")
        for address in found:
            if self._reachable(address.host):
                return address
        raise InvalidInput(
            "it is in no trusted network: declare the network with --trust-network if all who "
            "reach it may read the models"
        )

    def _reachable(self, host: str) -> bool:
        if not self._trusted.include(host):
            return False
        loopback = ipaddress.ip_address(host).is_loopback
        return not loopback or ipaddress.ip_address(self._own.host).is_loopback
