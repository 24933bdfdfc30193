"""An origin and nodes, each a process on a host of its own, on shaped links."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

import registry_core
from bench.swarm.lab import Lab, Rates

PORT = 7421
RATE = "200mbit"
SIZE = 24 << 20
SECONDS_ALONE = SIZE * 8 / 200e6
SETTINGS = {
    "claim_timeout_s": 1.5,
    "stall_timeout_s": 10.0,
    "backoff_first_s": 0.05,
    "backoff_max_s": 0.5,
}


@dataclass(frozen=True)
class Version:
    """A pushed model of one file."""

    file: str
    sha256: str
    digest: str
    bundle: str
    origin: Path


def push_version(folder: Path) -> Version:
    model = folder / "model"
    model.mkdir()
    data = os.urandom(SIZE)
    (model / "weights.bin").write_bytes(data)
    with registry_core.init(folder / "registry", actor="test") as registry:
        record = registry.push(model, "m").version
    origin = folder / "registry" / "origin"
    return Version("weights.bin", sha256(data).hexdigest(), record.digest, record.bundle, origin)


class Region:
    """Host 0 is the origin's; nodes are 1, 2, 3… Nothing runs until it is started."""

    def __init__(self, folder: Path, version: Version, nodes: int) -> None:
        self.lab = Lab(nodes + 1, Rates(RATE), "cubic", name=f"t{os.getpid()}")
        self.version = version
        self.nodes = range(1, nodes + 1)
        self._folder = folder
        self._running: dict[int, subprocess.Popen[str]] = {}

    def __enter__(self) -> Region:
        self.lab.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for host in list(self._running):
            self.kill(host)
        self.lab.__exit__(kind, error, at)

    def start_origin(self) -> None:
        command = ["tests.network.origin_program", self.lab.address(0), "8080"]
        self._start(0, [*command, str(self.version.origin)])

    def start(self, *nodes: int) -> None:
        for node in nodes:
            peers = [f"n{n}={self.lab.address(n)}:{PORT}" for n in self.nodes if n != node]
            config = {
                "name": f"n{node}",
                "host": self.lab.address(node),
                "port": PORT,
                "peers": peers,
                "origin": f"http://{self.lab.address(0)}:8080/origin",
                "folder": str(self._folder / f"n{node}"),
                "digest": self.version.digest,
                "bundle": self.version.bundle,
                "file": self.version.file,
                "settings": SETTINGS,
            }
            self._start(node, ["tests.network.node_program", json.dumps(config)])

    def kill(self, host: int) -> None:
        """SIGKILL, to all of it."""
        program = self._running.pop(host)
        program.kill()
        program.wait()
        for pipe in (program.stdin, program.stdout):
            if pipe is not None:
                pipe.close()

    def fetch(self, *nodes: int) -> None:
        """Begin; `outcome` ends it."""
        for node in nodes:
            pipe = self._running[node].stdin
            assert pipe is not None
            pipe.write("\n")
            pipe.flush()

    def outcome(self, node: int, within_s: float = 60.0) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._line(node, within_s))
        return said

    def whole(self, *nodes: int) -> list[dict[str, Any]]:
        """The outcomes of these nodes, which must have the version, in little memory."""
        found = [self.outcome(node) for node in nodes]
        for said in found:
            assert said.get("sha256") == self.version.sha256, said
            assert said["rss_mb"] < 200
        return found

    def bytes_stored(self, node: int) -> int:
        """On its disk, verified or about to be marked so."""
        folder = self._folder / f"n{node}"
        blocks = 0
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                blocks += path.stat().st_blocks if path.is_file() else 0
        return 512 * blocks

    def wait_until_stored(self, node: int, fraction: float) -> None:
        deadline_s = time.monotonic() + 30
        while self.bytes_stored(node) < fraction * SIZE:
            assert time.monotonic() < deadline_s, f"node {node} did not get on"
            time.sleep(0.005)

    def _start(self, host: int, words: list[str]) -> None:
        self._running[host] = self.lab.start(host, [sys.executable, "-m", *words])
        self._line(host, 30)

    def _line(self, host: int, within_s: float) -> str:
        pipe = self._running[host].stdout
        assert pipe is not None
        readable, _, _ = select.select([pipe], [], [], within_s)
        assert readable, f"host {host} said nothing within {within_s} s"
        return pipe.readline()
