"""Where nobody may connect to: link-local addresses, where clouds hand out credentials.

Looked at for every connection, with the address that is really connected to, so that neither a name
that changes its mind between two lookups nor an unusual spelling gets around it. Loopback and
private networks are allowed: that is where pipelines live.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

import aiohttp

_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::254/128",  # metadata of AWS
        "168.63.129.16/32",  # of Azure's hosts
        "100.100.100.200/32",  # of Alibaba Cloud
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_refused(address: str) -> bool:
    """Whether `address`, as text, must not be connected to. A name never is: its addresses are."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    meant = [parsed]
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = [parsed.ipv4_mapped, parsed.sixtofour]
        if parsed in _NAT64:
            inner.append(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
        meant += [one for one in inner if one is not None]
    return any(one in network for one in meant for network in _REFUSED)


def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket to connect to `info` with; refused where nobody may."""
    family, kind, protocol, _, address = info
    if is_refused(str(address[0])):
        raise OSError(errno.EACCES, f"{address[0]} is a link-local or metadata address: refused")
    made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made
