"""A small data centre out of network namespaces: hosts on one switch, each on a shaped link.

Needs root. Host 0 is the origin's, host i has address 10.77.0.(i + 1). Both directions of a link
are shaped (htb, burst 64 KiB, at the host and at the switch); where regions are asked for, each has
a switch of its own and a thin link lies between them. All is gone when the context ends, and what
an earlier run left behind goes first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_PREFIX = "cachd-lab"
NETWORK = "10.77.0.0/16"


def require_root() -> None:
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root: run this bench as root")


@dataclass(frozen=True, slots=True)
class Rates:
    """As tc writes them. `slow` is the rate of the hosts in `slow_hosts`; `between` that of the
    link between two regions (hosts from `second_from` on are in the second), if there are two."""

    link: str
    slow: str = ""
    slow_hosts: frozenset[int] = frozenset()
    between: str = ""
    second_from: int = 0


class Lab:
    """`hosts` of them, the origin's included; `congestion` is TCP's in all of them."""

    def __init__(self, hosts: int, rates: Rates, congestion: str) -> None:
        self.hosts = hosts
        self._rates = rates
        self._congestion = congestion

    def __enter__(self) -> Lab:
        sweep()
        try:
            self._build()
        except BaseException:
            sweep()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        sweep()

    def address(self, host: int) -> str:
        return f"10.77.{(host + 1) >> 8}.{(host + 1) & 255}"

    def start(self, host: int, command: Sequence[str]) -> subprocess.Popen[str]:
        """`command` on that host, in a process group of its own, with pipes to talk to it."""
        return subprocess.Popen(
            ["ip", "netns", "exec", _host(host), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def bytes_out(self, host: int) -> int:
        """All that has left the host, frames and all."""
        return int(_in(_host(host), "cat", "/sys/class/net/e0/statistics/tx_bytes"))

    def _build(self) -> None:
        rates = self._rates
        switches = ["sw0", "sw1"] if rates.between else ["sw0"]
        for switch in switches:
            _ip("netns", "add", f"{_PREFIX}-{switch}")
            _in(f"{_PREFIX}-{switch}", "ip", "link", "add", "br0", "type", "bridge")
            _in(f"{_PREFIX}-{switch}", "ip", "link", "set", "br0", "up")
        for host in range(self.hosts):
            second = bool(rates.between) and host >= rates.second_from
            self._attach(host, f"{_PREFIX}-{switches[second]}")
        if rates.between:
            first, other = (f"{_PREFIX}-{switch}" for switch in switches)
            _in(
                first,
                "ip",
                "link",
                "add",
                "t0",
                "type",
                "veth",
                "peer",
                "name",
                "t0",
                "netns",
                other,
            )
            for switch in (first, other):
                _in(switch, "ip", "link", "set", "t0", "master", "br0", "up")
                _shape(switch, "t0", rates.between)

    def _attach(self, host: int, switch: str) -> None:
        name, port = _host(host), f"p{host}"
        _ip("netns", "add", name)
        _in(switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "e0", "netns", name)
        _in(switch, "ip", "link", "set", port, "master", "br0", "up")
        _in(name, "ip", "addr", "add", f"{self.address(host)}/16", "dev", "e0")
        _in(name, "ip", "link", "set", "e0", "up")
        _in(name, "ip", "link", "set", "lo", "up")
        _in(name, *f"ip route replace {NETWORK} dev e0 congctl {self._congestion}".split())
        rate = self._rates.slow if host in self._rates.slow_hosts else self._rates.link
        _shape(name, "e0", rate)
        _shape(switch, port, rate)


@contextmanager
def drop(lab: Lab, percent: int) -> Iterator[None]:
    """Lose so many of a hundred packets on each host's way in."""
    rule = f"numgen random mod 100 < {percent} drop"
    for host in range(lab.hosts):
        _in(_host(host), "nft", "add table ip lossy")
        _in(_host(host), "nft", "add chain ip lossy in { type filter hook input priority 0 ; }")
        _in(_host(host), "nft", f"add rule ip lossy in iif e0 {rule}")
    yield


def sweep() -> None:
    """End all processes in namespaces of this bench, and remove them."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        name = line.split()[0]
        if name.startswith(f"{_PREFIX}-"):
            inside = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            )
            for pid in inside.stdout.split():
                if Path(f"/proc/{pid}").exists():
                    subprocess.run(["kill", "-9", pid], check=False, capture_output=True)
            _ip("netns", "del", name)


def _host(host: int) -> str:
    return f"{_PREFIX}-{host}"


def _shape(namespace: str, device: str, rate: str) -> None:
    _in(namespace, *f"tc qdisc add dev {device} root handle 1: htb default 1".split())
    shaped = f"htb rate {rate} ceil {rate} burst 64k cburst 64k"
    _in(namespace, *f"tc class add dev {device} parent 1: classid 1:1 {shaped}".split())


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def _in(namespace: str, *command: str) -> str:
    return _ip("netns", "exec", namespace, *command)
