"""A node as DNS-SD describes it (RFC 6763): an instance of `_cachd._tcp.local.`.

The instance's name is the node's. TXT: `proto` the version of the peer protocol, `registry` the
registry's id, `region`, and `zone` if it is known. Every record has the short TTL of those that
name a host, so that a node that ended without a goodbye is soon forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachd import limits
from cachd.discovery.admission import Entry
from cachd.listen import Address
from cachd.peer import protocol
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidInput

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncServiceInfo

SERVICE = "_cachd._tcp.local."


@dataclass(frozen=True, slots=True)
class Announcement:
    """This node, as others are to know it. `own` is where it serves chunks."""

    node: NodeId
    own: Address
    registry: str
    region: str
    zone: str = ""
    ttl_s: int = limits.MDNS_TTL_S

    def __post_init__(self) -> None:
        if len(self.node.text) > limits.MDNS_NAME_BYTES_MAX:
            raise InvalidInput(
                f"node {self.node} cannot be announced: names on mDNS have at most "
                f"{limits.MDNS_NAME_BYTES_MAX} characters"
            )

    def record(self) -> AsyncServiceInfo:
        from zeroconf.asyncio import AsyncServiceInfo

        said = {"proto": str(protocol.VERSION), "registry": self.registry, "region": self.region}
        return AsyncServiceInfo(
            SERVICE,
            f"{self.node}.{SERVICE}",
            port=self.own.port,
            properties=said | ({"zone": self.zone} if self.zone else {}),
            server=f"{self.node}.local.",
            host_ttl=self.ttl_s,
            other_ttl=self.ttl_s,
            parsed_addresses=[self.own.host],
        )


def entry_of(info: AsyncServiceInfo, registry: str) -> Entry:
    """What a record says, once it is complete; InvalidInput if it is no peer of this registry."""
    said = {
        key.decode("utf-8", "replace").lower(): (value or b"").decode("utf-8", "replace")
        for key, value in info.properties.items()
    }
    node = node_of(info.name)
    if said.get("proto") != str(protocol.VERSION):
        raise InvalidInput(
            f"{node} speaks version {said.get('proto', '?')!r:.20} of the peer protocol, this node "
            f"{protocol.VERSION}"
        )
    if said.get("registry") != registry:
        raise InvalidInput(f"{node} is a node of another registry")
    addresses = tuple(info.parsed_addresses())
    return Entry(node, addresses, info.port or 0, said.get("region", ""), said.get("zone", ""))


def node_of(name: str) -> str:
    """The node's name in an instance's, which ends with the service's."""
    return name[: -len(SERVICE) - 1]
