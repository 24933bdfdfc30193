"""Peers found in DNS, by a real server that answers, fails, lies, goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import pytest

from cachd import limits
from cachd.discovery.admission import Admission
from cachd.discovery.dns_finder import DnsFinder, DnsTimes
from cachd.discovery.dns_lookup import DnsAway, look_up, parse_name
from cachd.listen import Address
from cachd.peer.trusted import TrustedNetworks
from registry_core.domain.identifiers import NodeId
from registry_core.errors import InvalidInput
from tests.discovery.dns_server import DnsServer

NAME = "_cachd._tcp.lab."
OWN = Address("10.20.0.1", 7421)
QUICK = DnsTimes(ttl_s_min=0.05, ttl_s_max=0.2, retry_s=0.05, lookup_s=0.5)
TRUSTED = TrustedNetworks.parse(["10.20.0.0/16", "fd00::/16"])


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as made:
        yield made


def finder(server: DnsServer, times: DnsTimes = QUICK, own: Address = OWN) -> DnsFinder:
    admission = Admission(NodeId("self"), "eu", own, TRUSTED)
    return DnsFinder(NAME, server.address, admission, times)


@contextlib.asynccontextmanager
async def running(made: DnsFinder) -> AsyncIterator[DnsFinder]:
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def shown(made: DnsFinder) -> list[str]:
    return sorted(str(peer) for peer in made.found)


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "not in time"
        await asyncio.sleep(0.005)


async def finds(made: DnsFinder, *peers: str) -> None:
    await until(lambda: shown(made) == sorted(peers))


def looked_up(server: DnsServer, lookup_s: float = 0.5) -> list[str]:
    answer = asyncio.run(look_up(parse_name(NAME), server.address, lookup_s))
    return [str(entry) for entry in answer.entries]


def test_targets_are_peers_named_by_their_first_label(server: DnsServer) -> None:
    server.peers(NAME, {"GPU-7.lab.": ("10.20.0.7", 7421), "gpu-8.lab.": ("fd00::8", 7422)})
    server.records["gpu-7.lab.", "A"] = server.records.pop(("GPU-7.lab.", "A"))
    server.records[NAME, "TXT"] = 60, ['"v=spf1 -all" "zone=rack-7"', '"Region=eu"']

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "gpu-7=10.20.0.7:7421@eu/rack-7", "gpu-8=[fd00::8]:7422@eu/rack-7")

    asyncio.run(scenario())


def test_addresses_that_come_with_the_answer_are_not_asked_for(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1), "b.lab.": ("10.20.0.8", 1)})
    server.additional = [("a.lab.", "A")]
    assert looked_up(server) == ["a=10.20.0.7:1@/", "b=10.20.0.8:1@/"]
    assert [(name, kind) for name, kind, _ in server.asked if name != NAME] == [("b.lab.", "A")]


def test_what_is_left_out(server: DnsServer, capsys: pytest.CaptureFixture[str]) -> None:
    """And said once of each, however often it is looked at."""
    server.peers(
        NAME,
        {
            "a.lab.": ("10.20.0.7", 7421),
            "self.lab.": ("10.20.0.9", 7421),
            "alias.lab.": (OWN.host, OWN.port),
            "elsewhere.lab.": ("192.0.2.1", 7421),
            "here.lab.": ("127.0.0.1", 7421),
            "bad_name_.lab.": ("10.20.0.10", 7421),
            "nowhere.lab.": ("10.20.0.11", 7421),
            "portless.lab.": ("10.20.0.12", 0),
        },
        ttl=0,
    )
    del server.records["nowhere.lab.", "A"]

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "a=10.20.0.7:7421@eu")
            asked = len(server.asked)
            await until(lambda: len(server.asked) > 3 * asked)

    asyncio.run(scenario())
    lines = [line for line in capsys.readouterr().out.splitlines() if "entry left out" in line]
    assert len(lines) == 7
    for name, why in (
        ("self", "has its name"), ("alias", "under another name"), ("elsewhere", "trusted network"),
        ("here", "trusted network"), ("bad_name_", "not valid"), ("nowhere", "no address"),
        ("portless", "port 0"),
    ):  # fmt: skip
        assert any(f"{name}=" in line and why in line for line in lines), name


def test_a_loopback_address_counts_for_nodes_on_loopback(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("127.0.0.1", 7422), "b.lab.": ("127.0.0.1", 7421)})

    async def scenario() -> None:
        async with running(finder(server, own=Address("127.0.0.1", 7421))) as found:
            await finds(found, "a=127.0.0.1:7422@eu")

    asyncio.run(scenario())


def test_a_name_of_another_region(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 7421)})

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "a=10.20.0.7:7421@eu")
            server.records[NAME, "TXT"] = 60, ['"region=us"']
            await finds(found)

    asyncio.run(scenario())


def test_an_answer_counts_for_its_ttl(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1)}, ttl=1)
    times = DnsTimes(ttl_s_min=0.05, ttl_s_max=300, retry_s=0.05, lookup_s=2)

    async def scenario() -> None:
        async with running(finder(server, times)) as found:
            await finds(found, "a=10.20.0.7:1@eu")
            began_s, asked = time.monotonic(), len(server.asked)
            server.peers(NAME, {"b.lab.": ("10.20.0.8", 1)}, ttl=3600)
            await finds(found, "b=10.20.0.8:1@eu")
            assert time.monotonic() - began_s > 0.8
            assert len(server.asked) == asked + 3, "SRV, TXT and an address, once"

    asyncio.run(scenario())


def test_the_shortest_ttl_counts(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1), "b.lab.": ("10.20.0.8", 1)}, ttl=60)
    server.records["b.lab.", "A"] = 7, ["10.20.0.8"]
    assert asyncio.run(look_up(parse_name(NAME), server.address, 2.0)).ttl_s == 7


def test_nobody_is_an_answer_too(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1)})

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "a=10.20.0.7:1@eu")
            server.records[NAME, "SRV"] = 60, ["0 0 0 ."]
            await finds(found)
            server.peers(NAME, {"a.lab.": ("10.20.0.7", 1)})
            await finds(found, "a=10.20.0.7:1@eu")
            server.records.clear()
            await finds(found)

    asyncio.run(scenario())
    answer = asyncio.run(look_up(parse_name(NAME), server.address, 2.0))
    assert answer.ttl_s <= limits.DNS_NOTHING_TTL_S_MAX


def test_while_dns_is_away_the_last_answer_counts(
    server: DnsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1)})

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "a=10.20.0.7:1@eu")
            await asyncio.to_thread(server.stop)
            said = ""

            def away() -> bool:
                nonlocal said
                said += capsys.readouterr().out
                return "DNS is away" in said

            await until(away)
            assert shown(found) == ["a=10.20.0.7:1@eu"]
            server.peers(NAME, {"b.lab.": ("10.20.0.8", 1)})
            server.start()
            await finds(found, "b=10.20.0.8:1@eu")

    asyncio.run(scenario())


def test_a_server_that_fails_or_lies_is_away(server: DnsServer, seed: int) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1)})
    server.failing = {NAME}
    with pytest.raises(DnsAway, match="SRV"):
        looked_up(server)
    server.failing = set()
    rng = Random(seed)
    server.spoil = lambda answer: answer[:2] + rng.randbytes(100)
    with pytest.raises(DnsAway):
        looked_up(server)
    server.spoil = lambda answer: None
    began_s = time.monotonic()
    with pytest.raises(DnsAway):
        looked_up(server)
    assert time.monotonic() - began_s < 2
    server.spoil = lambda answer: answer[: len(answer) - 3]
    with pytest.raises(DnsAway):
        looked_up(server)
    server.spoil = lambda answer: answer
    assert looked_up(server) == ["a=10.20.0.7:1@/"]


def test_a_target_that_dns_does_not_tell_of_stays_where_it_was(server: DnsServer) -> None:
    server.peers(NAME, {"a.lab.": ("10.20.0.7", 1), "b.lab.": ("10.20.0.8", 1)})

    async def scenario() -> None:
        async with running(finder(server)) as found:
            await finds(found, "a=10.20.0.7:1@eu", "b=10.20.0.8:1@eu")
            server.failing = {"b.lab."}
            server.peers(NAME, {"a.lab.": ("10.20.0.9", 1), "b.lab.": ("10.20.0.8", 1)})
            await finds(found, "a=10.20.0.9:1@eu", "b=10.20.0.8:1@eu")

    asyncio.run(scenario())


def test_a_long_answer_comes_over_tcp_and_has_an_end(server: DnsServer) -> None:
    targets = {f"n{number:04}.": ("10.20.0.7", 7421) for number in range(1100)}
    server.peers(NAME, targets)
    server.additional = [(target, "A") for target in targets]
    answer = asyncio.run(look_up(parse_name(NAME), server.address, 5.0))
    assert [entry.node for entry in answer.entries] == [f"n{number:04}" for number in range(1024)]
    assert answer.left_out == 1100 - limits.DNS_TARGETS_MAX
    assert (NAME, "SRV", "tcp") in server.asked


@pytest.mark.parametrize("text", ["a..b", "x" * 64 + ".lab", "." * 3])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="_cachd._tcp"):
        parse_name(text)


def test_a_finder_ends_at_once_whenever_it_is_told(server: DnsServer, seed: int) -> None:
    """Also in the moment in which an answer comes."""
    server.peers(NAME, {f"n{number}.lab.": ("10.20.0.7", number) for number in range(1, 9)}, ttl=0)
    rng = Random(seed)

    async def scenario() -> None:
        for _ in range(100):
            task = asyncio.create_task(finder(server).run())
            asked = len(server.asked) + rng.randrange(1, 8)
            await until(lambda asked=asked: len(server.asked) >= asked)  # type: ignore[misc]
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
