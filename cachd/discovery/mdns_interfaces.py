"""The interfaces that mDNS speaks on: those that were named, and no others."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from registry_core.errors import InvalidInput


def parse_interfaces(text: str | None) -> tuple[str, ...]:
    """Of `eth1,10.20.0.7`: names of interfaces, or addresses on them."""
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise InvalidInput(
            f"--mdns {text!r:.80} does not name interfaces: for example eth1 or 10.20.0.7"
        )
    return words


def addresses_of(words: Sequence[str]) -> list[str]:
    """An address on each: IPv4 where the interface has one. InvalidInput if it is not there."""
    import ifaddr

    found: dict[str, list[str]] = {}
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            found.setdefault(adapter.name, []).append(address)
    return [_address_of(word, found) for word in words]


def _address_of(word: str, found: dict[str, list[str]]) -> str:
    here = {address for addresses in found.values() for address in addresses}
    if word in here:
        return word
    if word in found:
        return min(found[word], key=lambda address: ipaddress.ip_address(address).version)
    raise InvalidInput(
        f"--mdns {word!r:.80} is neither an interface of this host nor an address on one: it has "
        f"{', '.join(sorted(found)) or 'none'}"
    )
