"""One lookup of the peers that DNS names: SRV (RFC 2782), TXT and addresses.

Every target of the SRV records is a peer, and the first label of its name is the node's name:
`gpu-7.example.internal` is node `gpu-7`. Priority and weight choose one of many servers; a node
asks all its peers, so they say nothing here. A TXT record at the same name may hold `region=…` and
`zone=…` (as RFC 6763, section 6, writes them), which then apply to all of its targets.

Answers come from a resolver that is trusted as far as `cachd.discovery.admission` goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachd import limits
from cachd.discovery.admission import Entry
from cachd.listen import Address
from registry_core.errors import InvalidInput, RegistryError

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.message import Message
    from dns.name import Name
    from dns.resolver import Answer
    from dns.rrset import RRset


class DnsAway(RegistryError):
    """No usable answer: no server answers, or none that can. Helps once DNS is back."""

    code = "dns_away"


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """`unsure`: names of nodes whose addresses could not be asked for. It holds for `ttl_s`."""

    entries: tuple[Entry, ...]
    unsure: frozenset[str]
    left_out: int
    ttl_s: float


@dataclass(frozen=True, slots=True, order=True)
class _Target:
    name: Name
    port: int

    @property
    def node(self) -> str:
        return self.name.labels[0].decode("ascii", "replace").lower()


def parse_name(text: str) -> Name:
    """A name as DNS has them, from the root on; InvalidInput without dnspython."""
    try:
        from dns.exception import DNSException
        from dns.name import from_text
    except ImportError:
        raise InvalidInput("--peers-dns needs a resolver: pip install 'cachd[discovery]'") from None
    try:
        return from_text(text)
    except (DNSException, UnicodeError) as error:
        raise InvalidInput(
            f"{text!r:.120} is no DNS name ({error}), for example _cachd._tcp.example.internal"
        ) from None


async def look_up(name: Name, server: Address | None, lookup_s: float) -> DnsAnswer:
    """Ask `server`, or those of /etc/resolv.conf. DnsAway if there is no answer."""
    return await _Lookup(server, lookup_s).peers(name)


class _Lookup:
    """What one lookup has asked so far: all of it ends by one deadline."""

    def __init__(self, server: Address | None, lookup_s: float) -> None:
        self._resolver = _resolver(server)
        self._deadline_s = time.monotonic() + lookup_s
        self._few = asyncio.Semaphore(limits.NAMES_ASKED_AT_ONCE)
        self._ttl_s: float = limits.DNS_TTL_S_MAX

    async def peers(self, name: Name) -> DnsAnswer:
        from dns.rdtypes.IN.SRV import SRV

        answer = await self._ask(name, "SRV")
        records = [one for one in answer.rrset or [] if isinstance(one, SRV)] if answer else []
        targets = sorted({_Target(one.target, one.port) for one in records if one.target.labels[0]})
        if answer is None or not targets:
            return DnsAnswer((), frozenset(), 0, min(self._ttl_s, limits.DNS_NOTHING_TTL_S_MAX))
        said = _said(await self._ask(name, "TXT"))
        taken = targets[: limits.DNS_TARGETS_MAX]
        found = await asyncio.gather(
            *(self._addresses(target.name, answer.response) for target in taken)
        )
        entries, unsure = [], set()
        for target, addresses in zip(taken, found, strict=True):
            if addresses is None:
                unsure.add(target.node)
            else:
                where = said.get("region", ""), said.get("zone", "")
                entries.append(Entry(target.node, addresses, target.port, *where))
        left_out = len(targets) - len(taken)
        return DnsAnswer(tuple(entries), frozenset(unsure), left_out, self._ttl_s)

    async def _addresses(self, host: Name, response: Message) -> tuple[str, ...] | None:
        """Of the response itself where it has them; None if nobody says."""
        from dns.rdataclass import IN
        from dns.rdatatype import RdataType

        given = [
            response.get_rrset(response.additional, host, IN, kind)
            for kind in (RdataType.A, RdataType.AAAA)
        ]
        if any(given):
            self._ttl_s = min(self._ttl_s, *(rrset.ttl for rrset in given if rrset))
            return tuple(address for rrset in given for address in _addresses_in(rrset))
        try:
            async with self._few:
                answer = await self._ask(host, "A")
                if answer is None or not answer.rrset:
                    answer = await self._ask(host, "AAAA")
        except DnsAway:
            return None
        return tuple(_addresses_in(answer.rrset)) if answer else ()

    async def _ask(self, name: Name, kind: str) -> Answer | None:
        """None if there is no such name."""
        from dns.exception import DNSException
        from dns.resolver import NXDOMAIN

        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise DnsAway(f"DNS was too slow to say all about {name}")
        try:
            answer = await self._resolver.resolve(
                name, kind, raise_on_no_answer=False, search=False, lifetime=left_s
            )
        except NXDOMAIN:
            return None
        except (DNSException, OSError) as error:
            raise DnsAway(f"DNS does not say what {name} is ({kind}): {error}") from error
        if answer.rrset:
            self._ttl_s = min(self._ttl_s, answer.chaining_result.minimum_ttl)
        return answer


def _resolver(server: Address | None) -> Resolver:
    from dns.asyncresolver import Resolver
    from dns.exception import DNSException

    try:
        resolver = Resolver(configure=server is None)
    except (DNSException, OSError) as error:
        raise DnsAway(
            f"/etc/resolv.conf names no DNS server ({error}): use --dns-server"
        ) from error
    if server is not None:
        resolver.nameservers, resolver.port = [server.host], server.port
    resolver.use_edns(0, 0, limits.DNS_UDP_BYTES_MAX)
    return resolver


def _addresses_in(rrset: RRset | None) -> Iterator[str]:
    from dns.rdtypes.IN.A import A
    from dns.rdtypes.IN.AAAA import AAAA

    for record in rrset or []:
        if isinstance(record, A | AAAA):
            yield record.address


def _said(answer: Answer | None) -> dict[str, str]:
    """`key=value` strings, keys in lower case; the first of a key counts."""
    from dns.rdtypes.ANY.TXT import TXT

    said: dict[str, str] = {}
    for record in (answer and answer.rrset) or []:
        for string in record.strings if isinstance(record, TXT) else ():
            key, equals, value = string.decode("utf-8", "replace").partition("=")
            if equals:
                said.setdefault(key.lower(), value)
    return said
