"""Nodes that announce themselves and hear of each other, over multicast on the loopback interface.

What takes several hosts is in tests/network/test_mdns.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import dns.message
import ifaddr
import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from cachd.discovery.admission import Admission
from cachd.discovery.mdns_finder import MdnsFinder
from cachd.discovery.mdns_interfaces import addresses_of, parse_interfaces
from cachd.discovery.mdns_record import SERVICE, Announcement
from cachd.listen import Address
from cachd.peer.trusted import LOOPBACK_ONLY
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidInput
from tests.discovery.test_dns import until

# The loopback interface is shared with whatever tests run beside these.
TAG = str(os.getpid())
REGISTRY = f"registry-{TAG}"


@contextlib.asynccontextmanager
async def node(name: str, port: int, ask_s: float = 0.5) -> AsyncIterator[MdnsFinder]:
    own = Address("127.0.0.1", port)
    finder = MdnsFinder(
        ["lo"],
        Announcement(NodeId(name), own, REGISTRY, "eu", "rack-7"),
        Admission(NodeId(name), "eu", own, LOOPBACK_ONLY),
        look_s=0.1,
        ask_s=ask_s,
    )
    await finder.start()
    task = asyncio.create_task(finder.run())
    try:
        yield finder
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await finder.stop()


def shown(finder: MdnsFinder) -> list[str]:
    return sorted(str(peer) for peer in finder.found)


async def finds(finder: MdnsFinder, *peers: str) -> None:
    await until(lambda: shown(finder) == sorted(peers), within_s=20)


def test_nodes_hear_of_each_other_until_one_says_goodbye() -> None:
    a, b = f"a{TAG}.lab-1", f"b{TAG}"

    async def scenario() -> None:
        async with node(a, 7421) as first:
            async with node(b, 7422) as second:
                await finds(first, f"{b}=127.0.0.1:7422@eu/rack-7")
                await finds(second, f"{a}=127.0.0.1:7421@eu/rack-7")
            await until(lambda: shown(first) == [], within_s=5)
            async with node(b, 7429):
                await finds(first, f"{b}=127.0.0.1:7429@eu/rack-7")
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def record(name: str, port: int = 7430, **said: str) -> AsyncServiceInfo:
    properties = {"proto": "2", "registry": REGISTRY, "region": "eu"} | said
    return AsyncServiceInfo(
        SERVICE, f"{name}{TAG}.{SERVICE}", port=port, properties=properties,
        server=f"host-{TAG}.local.", parsed_addresses=["127.0.0.1"],
    )  # fmt: skip


LEFT_OUT = {
    "alias": (record("alias", 7421), "under another name"),
    "remote": (record("remote", region="us"), "of region us"),
    "stranger": (record("stranger", registry="another"), "another registry"),
    "ancient": (record("ancient", proto="1"), "version"),
    "Not A Node": (record("Not A Node"), "not valid"),
    "portless": (record("portless", 0), "port 0"),
    "odd": (record("odd", zone="rack 7"), "zone"),
}


def test_what_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """And said once of each, however often it is looked at; oneself included."""
    said: list[str] = []

    def left_out() -> list[str]:
        said.extend(line for line in capsys.readouterr().out.splitlines() if TAG in line)
        return said

    async def scenario() -> None:
        alien = AsyncZeroconf(interfaces=["127.0.0.1"])
        try:
            async with node(f"self{TAG}", 7421) as finder:
                for one, _ in LEFT_OUT.values():
                    await alien.async_register_service(one, cooperating_responders=True)
                await alien.async_register_service(record("good"), cooperating_responders=True)
                await finds(finder, f"good{TAG}=127.0.0.1:7430@eu")
                await until(lambda: len(left_out()) == len(LEFT_OUT) + 1, within_s=20)
                await alien.async_update_service(record("good", 7431))
                await finds(finder, f"good{TAG}=127.0.0.1:7431@eu")
        finally:
            await alien.async_close()

    asyncio.run(scenario())
    assert len(left_out()) == len(LEFT_OUT) + 1
    for name, why in [*((name, why) for name, (_, why) in LEFT_OUT.items()), ("self", "its name")]:
        assert any(f"{name}{TAG}" in line and why in line for line in said), name


def test_one_that_ended_without_a_goodbye_is_forgotten() -> None:
    """Somebody announces its records, and then answers for them no more."""

    async def scenario() -> None:
        silent = AsyncZeroconf(interfaces=["127.0.0.1"])
        own, name = Address("127.0.0.1", 7422), f"b{TAG}"
        said = Announcement(NodeId(name), own, REGISTRY, "eu", ttl_s=2).record()
        try:
            async with node(f"self{TAG}", 7421) as finder:
                await (await silent.async_register_service(said))
                await finds(finder, f"{name}=127.0.0.1:7422@eu")
                silent.zeroconf.registry.async_remove(said)
                await finds(finder)
        finally:
            await silent.async_close()

    asyncio.run(scenario())


def test_one_of_the_same_name_is_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with node(f"a{TAG}", 7421) as first, node(f"b{TAG}", 7422) as second:
            await finds(second, f"a{TAG}=127.0.0.1:7421@eu/rack-7")
            await finds(first, f"b{TAG}=127.0.0.1:7422@eu/rack-7")
            async with node(f"a{TAG}", 7423, ask_s=20) as third:
                await finds(third, f"b{TAG}=127.0.0.1:7422@eu/rack-7")
                await until(lambda: "of this name answers" in capsys.readouterr().out)
            assert shown(second) == [f"a{TAG}=127.0.0.1:7421@eu/rack-7"]

    asyncio.run(scenario())


def test_it_is_announced_only_where_it_can_be_reached() -> None:
    async def scenario() -> None:
        addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
        beyond = [address for address in addresses if not str(address).startswith("127.")]
        if not beyond:
            pytest.skip("this host has no interface but loopback")
        own = Address("127.0.0.1", 7421)
        announced = Announcement(NodeId("a"), own, REGISTRY, "eu")
        admission = Admission(NodeId("a"), "eu", own, LOOPBACK_ONLY)
        with pytest.raises(InvalidInput, match="from this host alone"):
            await MdnsFinder([str(beyond[0])], announced, admission).start()

    asyncio.run(scenario())


def test_interfaces() -> None:
    assert parse_interfaces(None) == ()
    assert parse_interfaces("eth1, 10.20.0.7") == ("eth1", "10.20.0.7")
    for text in ("", "eth0,,eth1"):
        with pytest.raises(InvalidInput, match="eth1"):
            parse_interfaces(text)
    assert addresses_of(["lo", "127.0.0.1"]) == ["127.0.0.1", "127.0.0.1"]
    with pytest.raises(InvalidInput, match="neither an interface"):
        addresses_of(["eth99"])


def test_a_name_that_is_too_long_for_mdns() -> None:
    with pytest.raises(InvalidInput, match="63"):
        Announcement(NodeId("n" * 64), Address("127.0.0.1", 1), "r", "eu")


HOSTILE = (
    "x._other._tcp.local.",
    "a\\001b." + SERVICE,
    "y.local.",
    SERVICE,
    ".",
    "z." + SERVICE[1:],
)


def test_what_nobody_should_send_changes_nothing() -> None:
    """Names of other services and of none, more names than are kept, and noise."""

    async def scenario() -> None:
        async with node(f"a{TAG}", 7421) as first:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.setsockopt(
                    socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
                )
                many = [f"n{TAG}-{number}.{SERVICE}" for number in range(20)]
                for name in (*HOSTILE, *many):
                    answer = dns.message.from_text(
                        f"id 0\nopcode QUERY\nflags QR AA\n;ANSWER\n{SERVICE} 4500 IN PTR {name}\n"
                    )
                    sender.sendto(answer.to_wire(), ("224.0.0.251", 5353))
                sender.sendto(b"\0" * 8 + b"\xff" * 90, ("224.0.0.251", 5353))
            async with node(f"b{TAG}", 7422) as second:
                await finds(first, f"b{TAG}=127.0.0.1:7422@eu/rack-7")
                await finds(second, f"a{TAG}=127.0.0.1:7421@eu/rack-7")

    asyncio.run(scenario())


def test_what_is_announced() -> None:
    """As docs/FORMATS.md says."""
    own = Address("10.20.0.7", 7421)
    record = Announcement(NodeId("gpu-7"), own, "r1", "eu", "rack-7").record()
    assert record.name == "gpu-7._cachd._tcp.local."
    assert record.text == b"\x07proto=2\x0bregistry=r1\x09region=eu\x0bzone=rack-7"
    assert (record.port, record.parsed_addresses()) == (7421, ["10.20.0.7"])
    assert (record.host_ttl, record.other_ttl) == (120, 120)
