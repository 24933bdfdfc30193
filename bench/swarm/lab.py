"""A small data centre out of network namespaces: hosts on one switch, each on a shaped link.

Needs root and iproute2; losing packets and parting hosts need nftables. Host 0 is the origin's,
host i has address 10.77.0.(i + 1). Both directions of a link are shaped (htb, burst 64 KiB, at the
host and at the switch); where regions are asked for, each has a switch of its own and a thin link
lies between them. All is gone when the context ends, and what an earlier run left behind goes
first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

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
    """`hosts` of them, the origin's included; `congestion` is TCP's in all of them. Labs with other
    names can exist at the same time."""

    def __init__(self, hosts: int, rates: Rates, congestion: str, name: str = "lab") -> None:
        self.hosts = hosts
        self._prefix = f"cachd-{name}"
        self._rates = rates
        self._congestion = congestion

    def __enter__(self) -> Lab:
        self._sweep()
        try:
            self._build()
        except BaseException:
            self._sweep()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._sweep()

    def address(self, host: int) -> str:
        return f"10.77.{(host + 1) >> 8}.{(host + 1) & 255}"

    def region(self, host: int) -> int:
        """0, or 1 where there is a second."""
        return int(bool(self._rates.between) and host >= self._rates.second_from)

    def start(self, host: int, command: Sequence[str]) -> subprocess.Popen[str]:
        """`command` on that host, in a process group of its own, with pipes to talk to it."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self._host(host), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def bytes_out(self, host: int) -> int:
        """All that has left the host, frames and all."""
        return int(_in(self._host(host), "cat", "/sys/class/net/e0/statistics/tx_bytes"))

    def bytes_between(self) -> int:
        """All that has passed from the first region into the second, frames and all."""
        if not self._rates.between:
            return 0
        counter = "/sys/class/net/t0/statistics/tx_bytes"
        return int(_in(f"{self._prefix}-sw0", "cat", counter))

    def _build(self) -> None:
        rates = self._rates
        switches = ["sw0", "sw1"] if rates.between else ["sw0"]
        for switch in switches:
            _ip("netns", "add", f"{self._prefix}-{switch}")
            _in(f"{self._prefix}-{switch}", "ip", "link", "add", "br0", "type", "bridge")
            _in(f"{self._prefix}-{switch}", "ip", "link", "set", "br0", "up")
        for host in range(self.hosts):
            self._attach(host, f"{self._prefix}-{switches[self.region(host)]}")
        for host in range(self.hosts):
            self._introduce(host)
        if rates.between:
            first, other = (f"{self._prefix}-{switch}" for switch in switches)
            _in(first, *f"ip link add t0 type veth peer name t0 netns {other}".split())
            for switch in (first, other):
                _in(switch, "ip", "link", "set", "t0", "master", "br0", "up")
                _shape(switch, "t0", rates.between)

    def _attach(self, host: int, switch: str) -> None:
        name, port = self._host(host), f"p{host}"
        _ip("netns", "add", name)
        _in(switch, "ip", "link", "add", port, "type", "veth", "peer", "name", "e0", "netns", name)
        _in(switch, "ip", "link", "set", port, "master", "br0", "up")
        _in(name, "ip", "link", "set", "e0", "address", _hardware_address(host))
        _in(name, "ip", "addr", "add", f"{self.address(host)}/16", "dev", "e0")
        _in(name, "ip", "link", "set", "e0", "up")
        _in(name, "ip", "link", "set", "lo", "up")
        _in(name, *f"ip route replace {NETWORK} dev e0 congctl {self._congestion}".split())
        rate = self._rates.slow if host in self._rates.slow_hosts else self._rates.link
        _shape(name, "e0", rate)
        _shape(switch, port, rate)

    def _introduce(self, host: int) -> None:
        """To all others, for good: hosts of all namespaces share one table of neighbours that they
        found by asking (arp(7), gc_thresh3: 1,024), and 32 hosts would overflow it."""
        lines = [
            f"neigh replace {self.address(other)} lladdr {_hardware_address(other)} dev e0 "
            "nud permanent"
            for other in range(self.hosts)
            if other != host
        ]
        subprocess.run(
            ["ip", "-netns", self._host(host), "-batch", "-"],
            input="\n".join(lines), text=True, check=True, capture_output=True,
        )  # fmt: skip

    # Faults

    def lose(self, percent: int) -> None:
        """So many of a hundred packets on each host's way in."""
        for host in range(self.hosts):
            self._filter(host, f"numgen random mod 100 < {percent} drop")

    def part(self, *hosts: int) -> None:
        """Let no packet pass between these hosts and the others."""
        here = ", ".join(self.address(host) for host in hosts)
        for host in range(self.hosts):
            told = "!=" if host in hosts else "=="
            self._filter(host, f"ip saddr {told} {{ {here} }} drop")

    def heal(self) -> None:
        """End all losses and parting."""
        for host in range(self.hosts):
            subprocess.run(
                ["ip", "netns", "exec", self._host(host), "nft", "flush", "ruleset"], check=True
            )

    def unplug(self, host: int) -> None:
        """Its link goes down: nobody is told that its connections ended."""
        _in(self._host(host), "ip", "link", "set", "e0", "down")

    def _filter(self, host: int, rule: str) -> None:
        for words in (
            "add table ip faults",
            "add chain ip faults in { type filter hook input priority 0 ; }",
            f"add rule ip faults in iif e0 {rule}",
        ):
            _in(self._host(host), "nft", words)

    def _host(self, host: int) -> str:
        return f"{self._prefix}-{host}"

    def _sweep(self) -> None:
        """End all processes in namespaces of this lab, and remove them."""
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            name = line.split()[0]
            if name.startswith(f"{self._prefix}-"):
                inside = subprocess.run(
                    ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
                )
                for pid in inside.stdout.split():
                    if Path(f"/proc/{pid}").exists():
                        subprocess.run(["kill", "-9", pid], check=False, capture_output=True)
                _ip("netns", "del", name)


def _hardware_address(host: int) -> str:
    return f"02:00:0a:4d:{(host + 1) >> 8:02x}:{(host + 1) & 255:02x}"


def _shape(namespace: str, device: str, rate: str) -> None:
    _in(namespace, *f"tc qdisc add dev {device} root handle 1: htb default 1".split())
    shaped = f"htb rate {rate} ceil {rate} burst 64k cburst 64k"
    _in(namespace, *f"tc class add dev {device} parent 1: classid 1:1 {shaped}".split())


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


def _in(namespace: str, *command: str) -> str:
    return _ip("netns", "exec", namespace, *command)
