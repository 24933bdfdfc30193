"""Nodes that find each other with the authority gone: by DNS, and on the local network."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachctl.demo.fleet import DemoFailed
from tests.discovery.dns_server import DnsServer
from tests.models import make_model
from tests.system.api import Api
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
NAME = "_cachd._tcp.lab."


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as made:
        yield made


def begin(rig: Rig, tmp_path: Path, name: str, *more: str) -> dict[str, Any]:
    """A node that serves a version, and nothing else that does: neither authority nor origin."""
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)
    said = rig.start_node(name, "--api", "127.0.0.1:0", *more)
    rig.wait_serving(name, 1)
    rig.fleet.kill("authority")
    shutil.rmtree(rig.folder / "registry" / "origin" / "packs")
    return said


def known(api: object) -> list[tuple[str, str, str]]:
    peers = Api(str(api)).call("GET", "/v1/peers")[1]["peers"]
    return [(peer["node"], peer["peer"], peer["source"]) for peer in peers]


def port(said: dict[str, Any]) -> int:
    return int(said["peer"].rpartition(":")[2])


def test_a_version_from_a_peer_that_dns_names(tmp_path: Path, rig: Rig, dns: DnsServer) -> None:
    find = ("--peers-dns", NAME, "--dns-server", str(dns.address))
    dns.peers(NAME, {"n9.lab.": ("127.0.0.1", 1)}, ttl=1)
    first = begin(rig, tmp_path, "n1", *find)
    dns.peers(NAME, {"n1.lab.": ("127.0.0.1", port(first))}, ttl=1)
    second = rig.start_node("n2", *find, "--relay", str(first["api"]), "--api", "127.0.0.1:0")
    rig.start_worker("w2", "n2")
    rig.wait_worker("w2", 1, "1.0")
    assert known(second["api"]) == [("n1", first["peer"], "dns")]
    both = {"n1.lab.": ("127.0.0.1", port(first)), "n2-alias.lab.": ("127.0.0.1", port(second))}
    dns.peers(NAME, both, ttl=1)
    rig.wait(lambda: len(known(first["api"])) == 1, "n1 knows n2", "n1")
    log = tmp_path / "n2.log"
    rig.wait(lambda: "under another name" in log.read_text(), "n2 sees itself in DNS", "n2")
    assert known(second["api"]) == [("n1", first["peer"], "dns")]


def test_a_version_from_a_peer_on_the_local_network(tmp_path: Path, rig: Rig) -> None:
    one, other = f"n1-{os.getpid()}", f"n2-{os.getpid()}"
    first = begin(rig, tmp_path, one, "--mdns", "lo")
    relay = ("--relay", str(first["api"]), "--api", "127.0.0.1:0")
    second = rig.start_node(other, "--mdns", "127.0.0.1", *relay)
    rig.start_worker("w2", other)
    rig.wait_worker("w2", 1, "1.0")
    assert known(second["api"]) == [(one, first["peer"], "mdns")]
    rig.wait(lambda: known(first["api"]) == [(other, second["peer"], "mdns")], "n1 knows n2", one)
    stopped = rig.fleet._processes[other]
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(10) == 0
    rig.wait(lambda: known(first["api"]) == [], "n2 has said goodbye", one, within_s=10)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--mdns", "eth99"), "neither an interface"),
        (("--mdns", ""), "does not name interfaces"),
        (("--peers-dns", "a..b"), "no DNS name"),
        (("--peers-dns", "a", "--dns-server", "ns.lab"), "not HOST:PORT"),
    ],
)
def test_what_a_node_does_not_start_with(rig: Rig, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(DemoFailed, match=why):
        rig.start_node("n1", *words)
