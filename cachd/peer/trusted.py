"""The networks on which chunks travel in plain: loopback, and those that somebody declared.

Until nodes have identities, whoever reaches the peer port can read the models behind it. So a node
listens beyond loopback only inside a network that its operator declared trusted, and closes what
comes from outside of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cachd.peer.directory import ip_address
from registry_core.errors import InvalidInput

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TrustedNetworks:
    """Besides loopback, which needs no declaration."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedNetworks:
        """Of CIDR notation (RFC 4632): `10.20.0.0/16`, `fd00:1234::/48`."""
        return cls(tuple(_parse(text) for text in texts))

    def include(self, host: str) -> bool:
        """Whether `host` is an address of one of them. A name is not: it may mean anything."""
        address = ip_address("127.0.0.1" if host == "localhost" else host)
        if address is None:
            return False
        return address.is_loopback or any(address in network for network in self.networks)


LOOPBACK_ONLY = TrustedNetworks()


def _parse(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r:.80} is not a network in CIDR notation, for example 10.20.0.0/16: {error}"
        ) from None
    if network.prefixlen == 0:
        raise InvalidInput(f"{text} is every address there is: name the network of your hosts")
    return network
