"""A peer's address: one parser for its text, `NODE=HOST:PORT[@REGION[/ZONE]]`.

The list of peers is handed in by the node: see cachd.node.peer_book.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import re
import socket
from dataclasses import dataclass

from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidIdentifier

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_HOST6 = re.compile(r"[0-9a-fA-F:.]{2,45}")
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?|")
_TEXT = re.compile(r"([^=]+)=(?:\[([^\]]+)\]|([^:\[\]]+)):([0-9]{1,5})(?:@([^@/]*)(?:/([^@/]*))?)?")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def place_name(text: object, what: str) -> str:
    """The name of a region or zone; may be empty."""
    if not isinstance(text, str) or not _REGION.fullmatch(text):
        raise InvalidIdentifier(f"{what} {text!r:.80} is not made of a-z 0-9 -")
    return text


class PeerSource(enum.StrEnum):
    """Where a peer is known from; the first that names it counts."""

    AUTHORITY = "authority"
    STATIC = "static"
    DNS = "dns"
    MDNS = "mdns"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a node serves its chunks. `region` is empty when there is but one, `zone`
    (what fails together within a region) when it is not known."""

    node_id: NodeId
    host: str
    port: int
    region: str = ""
    zone: str = ""

    @classmethod
    def parse(cls, text: object) -> PeerAddress:
        match = _TEXT.fullmatch(text) if isinstance(text, str) and len(text) < 1024 else None
        if match is None:
            raise InvalidIdentifier(
                f"peer {text!r:.120} is not NODE=HOST:PORT[@REGION[/ZONE]], for example "
                "a=10.0.0.7:7420@eu"
            )
        node, host6, host, port, region, zone = match.groups()
        return cls.of(node, host6 or host, int(port), region or "", zone or "")

    @classmethod
    def of(
        cls, node: object, host: object, port: object, region: object = "", zone: object = ""
    ) -> PeerAddress:
        """From parts as a document has them, each checked."""
        if not isinstance(host, str) or not (_HOST.fullmatch(host) or _HOST6.fullmatch(host)):
            raise InvalidIdentifier(f"peer host {host!r:.120} is neither a name nor an address")
        if type(port) is not int or not 1 <= port <= 65_535:
            raise InvalidIdentifier(f"peer port {port!r:.20} is not 1 to 65535")
        where = place_name(region, "region"), place_name(zone, "zone")
        return cls(NodeId.parse(node), host, port, *where)

    @property
    def has_name(self) -> bool:
        """The host has to be looked up, which may wait."""
        return ip_address(self.host) is None

    @property
    def family(self) -> socket.AddressFamily:
        """Of a host that has no name."""
        return family_of(self.host)

    @property
    def place(self) -> tuple[str, int]:
        """Host and port in one spelling: equal if two entries mean the same socket."""
        return _one_spelling(self.host), self.port

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        text = f"{self.node_id}={host}:{self.port}"
        if self.zone:
            return f"{text}@{self.region}/{self.zone}"
        return f"{text}@{self.region}" if self.region else text


@functools.lru_cache(maxsize=4_096)
def ip_address(host: str) -> IpAddress | None:
    """`host` as an address, if it is none that has to be looked up. Kept, since hosts of a region
    connect to each other for each version."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _one_spelling(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    if ":" not in host:
        return host.lower()
    address = ip_address(host)
    if not isinstance(address, ipaddress.IPv6Address):
        return host
    return str(address.ipv4_mapped or address)


def family_of(host: str) -> socket.AddressFamily:
    """Of an address; a name counts as one of IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
