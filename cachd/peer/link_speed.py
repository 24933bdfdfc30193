"""How fast the link is behind an address of this host, where the kernel knows.

Linux only: netdevice(7) for which interface has the address, /sys/class/net/IF/speed for its speed
in Mbit/s. Loopback has none, and many virtual machines do not tell (-1).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from cachd.peer.rate import Rate

_SIOCGIFCONF = 0x8912
_IFCONF = struct.Struct("iP")  # struct ifconf: bytes, and where they are
_IFREQ = struct.Struct("16sHH4s16x")  # struct ifreq with a sockaddr_in: name, family, port, address
_ADDRESSES_MAX = 1024
_SYSFS, _IF_INET6 = Path("/sys/class/net"), Path("/proc/net/if_inet6")


def link_speed(host: str, sysfs: Path = _SYSFS) -> Rate | None:
    """Of the interface that has this numeric address; None where nobody can tell."""
    interface = interface_of(host)
    if interface is None:
        return None
    with contextlib.suppress(OSError, ValueError):  # the kernel answers EINVAL for what has none
        mbit_per_s = int((sysfs / interface / "speed").read_text(encoding="ascii"))
        if mbit_per_s > 0:
            return Rate(mbit_per_s * 1_000_000)
    return None


def interface_of(host: str) -> str | None:
    """The name of the interface that has this numeric address, if one has."""
    asked = ipaddress.ip_address(host)
    found = _with_ipv4() if asked.version == 4 else _with_ipv6()
    return next((name for name, raw in found if raw == asked.packed), None)


def _with_ipv4() -> Iterator[tuple[str, bytes]]:
    listed = array.array("B", bytes(_IFREQ.size * _ADDRESSES_MAX))
    start, _ = listed.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        asked = _IFCONF.pack(len(listed), start)
        count, _ = _IFCONF.unpack(fcntl.ioctl(probe.fileno(), _SIOCGIFCONF, asked))
    for name, _, _, raw in _IFREQ.iter_unpack(listed.tobytes()[:count]):
        label = name.rstrip(b"\0").decode("ascii", "replace")
        yield label.partition(":")[0], raw  # eth0:1 is a label of eth0


def _with_ipv6() -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        for line in _IF_INET6.read_text(encoding="ascii").splitlines():
            words = line.split()
            yield words[-1], bytes.fromhex(words[0])
