"""TCP's congestion control on the sockets between peers (Linux: tcp(7), TCP_CONGESTION).

Where nothing is asked for, nothing is set: the kernel takes what the route says (ip-route(8),
congctl) or else net.ipv4.tcp_congestion_control, and a socket's own setting would overrule both. A
data centre that runs dctcp, or a bench that puts all systems under cubic, must not have to tell
each program.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path

from registry_core.errors import InvalidInput

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
_NAME_BYTES = 16  # TCP_CA_NAME_MAX


@dataclass(frozen=True, slots=True)
class CongestionControl:
    """Empty: what the kernel takes."""

    name: str = ""

    @classmethod
    def parse(cls, name: str) -> CongestionControl:
        """One that this process may use here, or InvalidInput."""
        asked = cls(name)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                asked.apply(probe)
            except (OSError, UnicodeEncodeError) as error:
                raise InvalidInput(_refusal(name, error)) from error
        return asked

    def apply(self, connection: socket.socket) -> None:
        """To a TCP socket, at any time of its life."""
        if self.name:
            connection.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.name.encode("ascii")
            )

    def used(self) -> str:
        """The name of what new sockets have, unless a route says otherwise."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            self.apply(probe)
            return name_of(probe)


KERNELS_CHOICE = CongestionControl()


def name_of(connection: socket.socket) -> str:
    """What a TCP socket has."""
    name = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_BYTES)
    return name.rstrip(b"\0").decode("ascii")


def _refusal(name: str, error: Exception) -> str:
    try:
        available = _AVAILABLE.read_text(encoding="ascii").strip()
    except OSError:
        available = "unknown"
    if isinstance(error, OSError) and error.errno == errno.EPERM:
        return (
            f"congestion control {name!r:.40} is for root alone here: let everybody use it by "
            "net.ipv4.tcp_allowed_congestion_control, or name another"
        )
    return (
        f"this kernel has no congestion control {name!r:.40}: it has {available} ({_AVAILABLE}). "
        f"Name one of them, or load it (modprobe tcp_NAME)"
    )
