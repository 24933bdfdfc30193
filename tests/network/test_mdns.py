"""Nodes on hosts of their own that find each other over the switch between them."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.swarm.lab import NETWORK, Lab, Rates
from tests.models import make_model
from tests.network.conftest import LACKING
from tests.system.api import Api
from tests.system.rig import Rig

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
NOBODY = "http://127.0.0.1:9"
READ = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Four hosts."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if LACKING:
        pytest.skip(f"network namespaces need {', '.join(LACKING)} (Debian: iproute2 nftables)")
    with Lab(4, Rates("200mbit"), "cubic", name=f"m{os.getpid()}") as made:
        yield made


class Host:
    """A host of the lab, and the node on it: it knows no authority."""

    def __init__(self, lab: Lab, number: int, folder: Path, name: str, *words: str) -> None:
        self._lab = lab
        self._number = number
        self.name = name
        self.peer = f"{lab.address(number)}:7421"
        self.process = lab.start(number, [
            sys.executable, "-m", "cachd.main", "node", "--name", name, "--authority", NOBODY,
            "--root", str(folder / "registry" / "root.json"), "--data", str(folder / name),
            "--run", str(folder / f"{name}.run"), "--serve", "m@production",
            "--listen", self.peer, "--trust-network", NETWORK, "--mdns", "e0",
            "--api", "127.0.0.1:0", *words,
        ])  # fmt: skip
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 30)[0], "the node is not ready"
        self._api = json.loads(self.process.stdout.readline())["api"]

    def hears_of(self, other: Host) -> None:
        """Of this one alone."""
        expected = [(other.name, other.peer, "mdns")]
        until(lambda: self.peers() == expected, f"{self.name} hears of {other.name}")

    def peers(self) -> list[tuple[str, str, str]]:
        asking = self._lab.start(
            self._number, [sys.executable, "-c", READ, f"{self._api}/v1/peers"]
        )
        out, _ = asking.communicate(timeout=10)
        return [(one["node"], one["peer"], one["source"]) for one in json.loads(out)["peers"]]


def until(holds: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


@pytest.mark.slow
def test_a_version_from_a_node_across_the_switch(rig: Rig, lab: Lab, tmp_path: Path) -> None:
    prepare(rig, tmp_path)
    first = Host(lab, 0, tmp_path, "n1")
    other = Host(lab, 1, tmp_path, "n2")
    far = [Host(lab, host, tmp_path, f"n{host + 1}", "--region", "us") for host in (2, 3)]
    for one, another in ((first, other), far):
        one.hears_of(another)
        another.hears_of(one)
    original = (tmp_path / "v1" / "model.safetensors").read_bytes()

    def fetched() -> bool:
        files = list((tmp_path / "n2" / "cache").glob("versions/*/model.safetensors"))
        return [file.read_bytes() for file in files] == [original]

    until(fetched, "n2 has the version of n1")
    first.hears_of(other)  # and of no node of another region
    other.hears_of(first)
    stop(other.process)
    until(lambda: first.peers() == [], "n1 has heard the goodbye", within_s=10)
    stop(first.process)


def prepare(rig: Rig, folder: Path) -> None:
    """n1 with a version, n2 with the log alone; then nobody else has anything."""
    with rig.connect() as registry:
        registry.push(make_model(folder / "v1"), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    rig.start_node("n2", serve="other@production")
    until(lambda: log_size(rig, "n2") == log_size(rig, "n1") > 0, "n2 has the log")
    for name in ("n1", "n2", "authority"):
        rig.fleet.kill(name)
    shutil.rmtree(folder / "registry" / "origin" / "packs")


def log_size(rig: Rig, node: str) -> int:
    nodes = Api(rig.url).call("GET", "/v1/nodes")[1]["nodes"]
    reports = [seen["report"] for seen in nodes]
    return next((one["log_size"] for one in reports if one["node"] == node), 0)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(10) == 0
