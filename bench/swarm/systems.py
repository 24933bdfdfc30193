"""The systems side by side: what runs on the origin's host and on the others.

All bring the same file to every host, start at the same moment, and write to the same medium.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def _cachd(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
    peers = [f"n{n}={lab.address(n)}:{_PEER_PORT}" for n in range(1, lab.hosts) if n != host]
    return _module(
        "cachd_node", name=f"n{host}", host=lab.address(host), port=_PEER_PORT, peers=peers,
        origin=f"http://{lab.address(0)}:{_HTTP_PORT}/origin", folder=str(folder),
        digest=source.digest, bundle=source.bundle, file=source.file,
    )  # fmt: skip


def _http(lab: Lab, source: Source, folder: Path, _: int) -> list[str]:
    return _download(folder / source.file, "curl", "-sS", "-o", str(folder / source.file),
                     _url(lab, source))  # fmt: skip


def _aria2(lab: Lab, source: Source, folder: Path, _: int) -> list[str]:
    return _download(folder / source.file, "aria2c", "-q", "-x8", "-s8", "-k1M",
                     "--file-allocation=none", "-d", str(folder), "-o", source.file,
                     _url(lab, source))  # fmt: skip


def _torrent(tuned: bool) -> Programs:
    def program(lab: Lab, source: Source, folder: Path, host: int) -> list[str]:
        peers = [lab.address(n) for n in range(lab.hosts) if n != host]
        return _torrent_peer(lab, source, folder, host, peers, tuned=tuned)

    return program


def _torrent_seed(tuned: bool) -> Callable[[Lab, Source], list[str]]:
    return lambda lab, source: _torrent_peer(lab, source, source.folder, 0, [], tuned=tuned)


SYSTEMS = {
    system.name: system
    for system in (
        System("cachd", _cachd),
        System("libtorrent", _torrent(tuned=False), _torrent_seed(tuned=False)),
        System("libtorrent-tuned", _torrent(tuned=True), _torrent_seed(tuned=True)),
        System("aria2", _aria2),
        System("http", _http),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds from the start at which each host had the whole file; what left the origin's host, in
    bytes of frames; CPU seconds of all hosts, and the largest resident set."""

    seconds: list[float]
    origin_bytes: int
    cpu_s: float
    rss_mb: float
    told: list[dict[str, Any]]


def run_once(
    system: System, lab: Lab, source: Source, folder: Path, late: dict[int, float]
) -> Outcome:
    """One distribution. Hosts in `late` start so many seconds after the others; their seconds
    count from their own start."""
    with _web_server(lab, source, folder), _programs(system, lab, source, folder) as programs:
        for program in programs.values():
            _hear(program)
        before = lab.bytes_out(0)
        began_s = time.monotonic()
        starts = dict.fromkeys(programs, began_s)
        for host, program in programs.items():
            if host not in late:
                _tell(program)
        for host, after_s in sorted(late.items(), key=lambda item: item[1]):
            time.sleep(max(0.0, began_s + after_s - time.monotonic()))
            starts[host] = time.monotonic()
            _tell(programs[host])
        heard = {host: _hear(program) for host, program in programs.items() if host > 0}
        origin_bytes = lab.bytes_out(0) - before
        for host, said in heard.items():
            if said["sha256"] != source.sha256:
                raise RuntimeError(f"{system.name} brought another file to host {host}")
        ends = []
        for host, program in programs.items():
            assert program.stdin is not None
            program.stdin.close()
            if host > 0:
                ends.append(_hear(program))
    return Outcome(
        [said["done_s"] - starts[host] for host, said in heard.items()],
        origin_bytes,
        sum(end["cpu_s"] for end in ends),
        max(end["rss_mb"] for end in ends),
        ends,
    )


@contextmanager
def _programs(
    system: System, lab: Lab, source: Source, folder: Path
) -> Iterator[dict[int, subprocess.Popen[str]]]:
    running: dict[int, subprocess.Popen[str]] = {}
    try:
        if system.seeds is not None:
            running[0] = lab.start(0, system.seeds(lab, source))
        for host in range(1, lab.hosts):
            (folder / f"n{host}").mkdir()
            running[host] = lab.start(host, system.program(lab, source, folder / f"n{host}", host))
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


def _torrent_peer(
    lab: Lab, source: Source, folder: Path, host: int, peers: list[str], *, tuned: bool
) -> list[str]:
    torrent = source.folder / ("tuned.torrent" if tuned else "default.torrent")
    return _module(
        "torrent_peer", host=lab.address(host), torrent=str(torrent), folder=str(folder),
        file=source.file, peers=peers, seed=host == 0, tuned=tuned,
    )  # fmt: skip
