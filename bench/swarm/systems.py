"""The systems side by side: what runs on the origin's host and on the others.

All bring the same file to every host, start at the same moment, and write to the same medium.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._processors import busy_s
from bench.swarm.lab import Lab

_HTTP_PORT, _PEER_PORT = 8080, 7421


@dataclass(frozen=True, slots=True)
class Source:
    """The file to distribute: as it is, in a cachd origin, and as torrents."""

    folder: Path
    file: str
    bytes: int
    sha256: str
    digest: str
    bundle: str

    @property
    def origin(self) -> Path:
        return self.folder / "registry" / "origin"


Programs = Callable[[Lab, Source, Path, int], list[str]]
"""The command of host n, whose folder is given."""


@dataclass(frozen=True, slots=True)
class System:
    name: str
    program: Programs
    seeds: Callable[[Lab, Source], list[str]] | None = None
    """A program on the origin's host besides the web server; it takes part without bringing."""
    corrupt: Programs | None = None
    """One that gives noise to who asks it; it brings nothing. None: nobody would ask it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """With the last host: it starts so many seconds before the others, or after them, or is killed
    so long after the first started; or it gives noise instead of what it is asked for. Or with all:
    each starts at some moment within `spread_s`, by the dice of `seed`."""

    early_s: float = 0.0
    late_s: float = 0.0
    spread_s: float = 0.0
    seed: int = 0
    killed_s: float = 0.0
    corrupt: bool = False

    def delays_s(self, hosts: Sequence[int], last: int) -> dict[int, float]:
        """From the first start to each one's; a seed on the origin's host is there from it on."""
        rng = random.Random(self.seed)
        delays = {host: self.early_s + rng.uniform(0.0, self.spread_s) for host in hosts}
        delays[last] += self.late_s - self.early_s
        return delays | {0: 0.0} if 0 in delays else delays


def _cachd(
    lab: Lab, source: Source, folder: Path, host: int, module: str = "cachd_node"
) -> list[str]:
    peers = [
        f"n{n}={lab.address(n)}:{_PEER_PORT}"
        for n in range(1, lab.hosts)
        if n != host and lab.region(n) == lab.region(host)
    ]
    return _module(
        module, name=f"n{host}", host=lab.address(host), port=_PEER_PORT, peers=peers,
        origin=f"http://{lab.address(0)}:{_HTTP_PORT}/origin", folder=str(folder),
        digest=source.digest, bundle=source.bundle, file=source.file,
    )  # fmt: skip


def _corrupt_cachd(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
    return _cachd(lab, source, folder, host, "corrupt_node")


def _http(lab: Lab, source: Source, folder: Path, _: int) -> list[str]:
    return _download(folder / source.file, "curl", "-sS", "-o", str(folder / source.file),
                     _url(lab, source))  # fmt: skip


def _aria2(lab: Lab, source: Source, folder: Path, _: int) -> list[str]:
    return _download(folder / source.file, "aria2c", "-q", "-x8", "-s8", "-k1M",
                     "--file-allocation=none", "-d", str(folder), "-o", source.file,
                     _url(lab, source))  # fmt: skip


def _plain(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
    addresses = [lab.address(n) for n in range(lab.hosts)]
    return _module(
        "plain_relay", hosts=lab.hosts, number=host, addresses=addresses, port=_PEER_PORT,
        origin=lab.address(0), http=_HTTP_PORT, file=source.file, size=source.bytes,
        path=str(folder / source.file),
    )  # fmt: skip


def _torrent(tuned: bool) -> Programs:
    def program(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
        peers = [lab.address(n) for n in range(lab.hosts) if n != host]
        return _torrent_peer(lab, source, folder, host, peers, tuned=tuned)

    return program


def _corrupt_torrent(tuned: bool) -> Programs:
    """It has a file of zeros, which it takes for the right one."""

    def program(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
        with (folder / source.file).open("wb") as file:
            file.truncate(source.bytes)
        return _torrent_peer(lab, source, folder, host, [], tuned=tuned, seed=True)

    return program


def _torrent_seed(tuned: bool) -> Callable[[Lab, Source], list[str]]:
    return lambda lab, source: _torrent_peer(
        lab, source, source.folder, 0, [], tuned=tuned, seed=True
    )


SYSTEMS = {
    system.name: system
    for system in (
        System("cachd", _cachd, corrupt=_corrupt_cachd),
        *(
            System(name, _torrent(tuned), _torrent_seed(tuned), _corrupt_torrent(tuned))
            for name, tuned in (("libtorrent", False), ("libtorrent-tuned", True))
        ),
        System("aria2", _aria2),
        System("http", _http),
        System("plain", _plain),
    )
}
COMPARED = [name for name in SYSTEMS if name != "plain"]
"""What people run. `plain` only tells what the bytes alone cost: `--systems` names it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from the start at which each host had the whole file; what left the origin's host,
    and passed into the second region, in bytes of frames; CPU seconds of all hosts' programs, and
    those of them in the kernel; the largest resident set; CPU seconds of the whole machine, shaped
    links and the origin's server included, while the hosts were fetching."""

    seconds: list[float]
    origin_bytes: int
    between_bytes: int
    cpu_s: float
    kernel_s: float
    rss_mb: float
    machine_s: float
    told: list[dict[str, Any]]


def run_once(system: System, lab: Lab, source: Source, folder: Path, trouble: Trouble) -> Outcome:
    """One distribution. The seconds of each host count from its own start; one that is killed or
    corrupt has none."""
    with (
        _web_server(lab, source, folder),
        _programs(system, lab, source, folder, trouble) as programs,
    ):
        for program in programs.values():
            _hear(program)
        origin_before, between_before = lab.bytes_out(0), lab.bytes_between()
        machine_before_s = busy_s()
        starts = _start(programs, lab.hosts - 1, trouble)
        spoilt = {lab.hosts - 1} if trouble.killed_s or trouble.corrupt else set()
        heard = {
            host: _hear(program)
            for host, program in programs.items()
            if host > 0 and host not in spoilt
        }
        machine_s = busy_s() - machine_before_s
        origin_bytes = lab.bytes_out(0) - origin_before
        between_bytes = lab.bytes_between() - between_before
        for program in programs.values():
            assert program.stdin is not None
            program.stdin.close()
        ends = [_hear(programs[host]) for host in heard]
        if any(end["sha256"] != source.sha256 for end in ends):
            raise RuntimeError(f"{system.name} brought another file to a host")
    return Outcome(
        [said["done_s"] - starts[host] for host, said in heard.items()],
        origin_bytes,
        between_bytes,
        sum(end["user_s"] + end["system_s"] for end in ends),
        sum(end["system_s"] for end in ends),
        max(end["rss_mb"] for end in ends),
        machine_s,
        ends,
    )


def _start(
    programs: dict[int, subprocess.Popen[str]], last: int, trouble: Trouble
) -> dict[int, float]:
    """When each was told to begin."""
    starts, began_s = {}, time.monotonic()
    delays_s = trouble.delays_s(list(programs), last)
    for host in sorted(delays_s, key=delays_s.__getitem__):
        time.sleep(max(0.0, began_s + delays_s[host] - time.monotonic()))
        starts[host] = time.monotonic()
        _tell(programs[host])
    if trouble.killed_s:
        time.sleep(max(0.0, began_s + trouble.killed_s - time.monotonic()))
        os.killpg(programs[last].pid, signal.SIGKILL)
    return starts


@contextmanager
def _programs(
    system: System, lab: Lab, source: Source, folder: Path, trouble: Trouble
) -> Iterator[dict[int, subprocess.Popen[str]]]:
    running: dict[int, subprocess.Popen[str]] = {}
    try:
        if system.seeds is not None:
            running[0] = lab.start(0, system.seeds(lab, source))
        for host in range(1, lab.hosts):
            (folder / f"n{host}").mkdir()
            program = system.program
            if trouble.corrupt and host == lab.hosts - 1:
                program = system.corrupt or _idle
            running[host] = lab.start(host, program(lab, source, folder / f"n{host}", host))
        yield running
    finally:
        for program in running.values():
            program.kill()
            program.wait()
            for pipe in (program.stdin, program.stdout):
                if pipe is not None and not pipe.closed:
                    pipe.close()


@contextmanager
def _web_server(lab: Lab, source: Source, folder: Path) -> Iterator[None]:
    """nginx on the origin's host: the file, and the objects of a cachd origin."""
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off; pid {folder}/nginx.pid; error_log stderr crit; worker_processes 1; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  server {{
    listen {lab.address(0)}:{_HTTP_PORT};
    location /origin/ {{ alias {source.origin}/; }}
    location / {{ root {source.folder}; }}
  }}
}}
""")
    server = lab.start(0, ["nginx", "-c", str(config), "-p", str(folder)])
    try:
        time.sleep(0.3)
        yield
    finally:
        server.terminate()
        server.wait()


def _tell(program: subprocess.Popen[str]) -> None:
    assert program.stdin is not None
    program.stdin.write("go\n")
    program.stdin.flush()


def _hear(program: subprocess.Popen[str]) -> dict[str, Any]:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise RuntimeError(f"a program of the bench ended early: {program.args}")
    said: dict[str, Any] = json.loads(line)
    return said


def _module(module: str, **config: Any) -> list[str]:
    return [sys.executable, "-m", f"bench.swarm.{module}", json.dumps(config)]


def _download(path: Path, *command: str) -> list[str]:
    return [sys.executable, "-m", "bench.swarm.download", str(path), *command]


def _url(lab: Lab, source: Source) -> str:
    return f"http://{lab.address(0)}:{_HTTP_PORT}/{source.file}"


def _idle(*_: Any) -> list[str]:
    """Takes part, and does nothing."""
    return [sys.executable, "-c", "print('{}', flush=True); input()"]


def _torrent_peer(
    lab: Lab,
    source: Source,
    folder: Path,
    host: int,
    peers: list[str],
    *,
    tuned: bool,
    seed: bool = False,
) -> list[str]:
    torrent = source.folder / ("tuned.torrent" if tuned else "default.torrent")
    return _module(
        "torrent_peer", host=lab.address(host), torrent=str(torrent), folder=str(folder),
        file=source.file, peers=peers, seed=seed, tuned=tuned,
    )  # fmt: skip
