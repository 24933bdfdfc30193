"""Where a daemon may listen.

Without identities configured, daemons bind loopback only and refuse any other address at start:
nothing that is neither authenticated nor encrypted is reachable from another machine. Chunks alone
may travel in plain, on a network that was declared trusted (`cachd.peer.trusted`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from registry_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Address:
    """A numeric address and port; port 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """A loopback address, or InvalidInput."""
        address = cls.parse_any(text)
        if not ipaddress.ip_address(address.host).is_loopback:
            raise InvalidInput(
                f"refusing to listen on {address.host}: no identities are configured, so daemons "
                "bind loopback addresses only (127.0.0.1, ::1)"
            )
        return address

    @classmethod
    def parse_any(cls, text: str) -> Address:
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise InvalidInput(f"address {text!r:.80} is not HOST:PORT, for example 127.0.0.1:7420")
        try:
            parsed = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            raise InvalidInput(f"{host!r:.80} is not an IP address or 'localhost'") from None
        return cls(str(parsed), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
