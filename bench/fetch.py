"""Fetch + verify + resident, from a peer on loopback, beside a plain loop in the same run.

ours     cachd.fetch from a PeerServer: receive, BLAKE3 while hot, write, fsync, publish, populate
plain    the same threads: sendfile, recv_into a reused buffer, pwrite, fsync, MADV_POPULATE_READ
early    the plain loop with ours' one trick: writeback is started after each write
discard  the same threads: sendfile, recv_into, nothing else

Both write to the same medium and are durable when they end: ours fsyncs the file and the folders
of the version, plain fsyncs the file and its folder. The sender is another process each time. One
unmeasured round comes first, since this touches memory that nobody has used yet; then the order
of the four is shuffled in each round, and medians are told. Ratios are medians of the ratios within
a round, so that a machine that is slower for a while does not decide them. `cpu_s_per_gb` is what
the receiving process used.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import random
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blake3 import blake3

from cachd.cache.cache import Cache
from cachd.cache.libc import start_writeback
from cachd.cache.populate import populate
from cachd.cache.verifier import verify
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.settings import FetchSettings
from cachd.peer.directory import PeerAddress
from cachd.peer.server import PeerServer
from registry_core.domain.chunking import chunk_bytes_for, cut_fixed
from registry_core.domain.identifiers import ChunkId, NodeId
from registry_core.domain.manifest import Chunk, Manifest, ModelFile

_RANGE = struct.Struct(">QQ")
_RECEIVE_STEP = 256 * 1024


def run(argv: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench fetch")
    parser.add_argument("--size", type=int, default=1 << 30, help="bytes of the model file")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--dir", default=None, help="where files lie (default: the temp directory)")
    parser.add_argument("--seed", type=int, default=None, help="of the order of the rounds")
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="bench-fetch-", dir=options.dir))
    try:
        return _Bench(folder, options).measure()
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder)


class _Bench:
    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.size: int = options.size
        self.threads: int = options.threads
        self.repeats: int = options.repeats
        self.seed: int = random.randrange(1 << 32) if options.seed is None else options.seed
        self.chunk_bytes = chunk_bytes_for(self.size)
        self.rss_bytes_max = 0
        self.cpu_s: dict[str, list[float]] = {}

    def measure(self) -> dict[str, Any]:
        manifest, file = _make_source(self.folder / "source", self.size, self.chunk_bytes)
        ways: dict[str, Callable[[], float]] = {}
        rng = random.Random(self.seed)
        with (
            _serving("peer", self.folder / "source") as port,
            _serving("plain", file) as plain_port,
        ):
            ways["ours"] = lambda: self._ours(manifest, port)
            ways["plain"] = lambda: self._plain(plain_port, keep=True)
            ways["early"] = lambda: self._plain(plain_port, keep=True, early=True)
            ways["discard"] = lambda: self._plain(plain_port, keep=False)
            for way in ways.values():
                way()
            self.rss_bytes_max = 0
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(self.repeats):
                for name in rng.sample(list(ways), len(ways)):
                    cpu_began_s = time.process_time()
                    seconds[name].append(ways[name]())
                    self.cpu_s.setdefault(name, []).append(time.process_time() - cpu_began_s)
        return self._result(seconds)

    def _result(self, seconds: dict[str, list[float]]) -> dict[str, Any]:
        gbit = {name: [self.size * 8e-9 / s for s in all_s] for name, all_s in seconds.items()}
        median = {name: statistics.median(values) for name, values in gbit.items()}
        return {
            "bench": "fetch",
            "gbit_s": round(median["ours"], 2),
            "plain_gbit_s": round(median["plain"], 2),
            "discard_gbit_s": round(median["discard"], 2),
            "plain_early_gbit_s": round(median["early"], 2),
            "ratio": _ratio(seconds["plain"], seconds["ours"]),
            "ratio_to_early": _ratio(seconds["early"], seconds["ours"]),
            "cpu_s_per_gb": {
                name: round(statistics.median(used) / self.size * 1e9, 2)
                for name, used in self.cpu_s.items()
            },
            "rss_mb": round(self.rss_bytes_max / 1e6, 1),
            "spread": {name: [round(min(v), 2), round(max(v), 2)] for name, v in gbit.items()},
            "size_bytes": self.size,
            "chunk_bytes": self.chunk_bytes,
            "threads": self.threads,
            "repeats": self.repeats,
            "seed": self.seed,
            "durability": "both fsync file and folders before they end",
        }

    def _ours(self, manifest: Manifest, port: int) -> float:
        root = self.folder / "ours"
        peer = PeerAddress(NodeId("seed"), "127.0.0.1", port)
        settings = FetchSettings(threads=self.threads, niceness=0)  # as the plain loop
        with Cache.open(root) as cache:
            fetcher = Fetcher(cache, None, NodeId("node"), 1, settings)
            _reset_peak()
            began_s = time.perf_counter()
            report = fetcher.fetch(manifest, {}, lambda: [peer])
            visible = cache.publish(manifest)
            stored_s = time.perf_counter()
            self.rss_bytes_max = max(self.rss_bytes_max, _peak_bytes())
            resumed_s = time.perf_counter()  # reading the peak is no part of it
            populate(visible)
            seconds = time.perf_counter() - resumed_s + stored_s - began_s
            if report.bytes_from_peers != self.size or report.complaints:
                raise RuntimeError(f"not all bytes came from the peer: {report}")
            cache.drop(manifest.digest)
        return seconds

    def _plain(self, port: int, *, keep: bool, early: bool = False) -> float:
        path = self.folder / "plain"
        spans = iter(cut_fixed(0, self.size, self.chunk_bytes))
        lock = threading.Lock()
        began_s = time.perf_counter()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) if keep else -1

        def work() -> None:
            buffer = memoryview(mmap.mmap(-1, self.chunk_bytes))
            with socket.create_connection(("127.0.0.1", port)) as connection:
                while True:
                    with lock:
                        span = next(spans, None)
                    if span is None:
                        return
                    connection.sendall(_RANGE.pack(span[0], span[1] - span[0]))
                    piece = buffer[: span[1] - span[0]]
                    _receive(connection, piece)
                    if keep:
                        os.pwrite(descriptor, piece, span[0])
                    if early:
                        start_writeback(descriptor, span[0], len(piece))

        _run_all([work] * self.threads)
        if keep:
            os.fsync(descriptor)
            os.close(descriptor)
            folder = os.open(self.folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
            populate(path)
        seconds = time.perf_counter() - began_s
        path.unlink(missing_ok=True)
        return seconds


def _make_source(root: Path, size: int, chunk_bytes: int) -> tuple[Manifest, Path]:
    """A cache that holds a version of one file of random bytes; the version and the file."""
    path, sha256, chunks = root.with_suffix(".bin"), hashlib.sha256(), []
    with path.open("wb") as file:
        for start, end in cut_fixed(0, size, chunk_bytes):
            data = os.urandom(end - start)
            file.write(data)
            sha256.update(data)
            chunks.append(Chunk(ChunkId(blake3(data).digest()), len(data)))
    made = ModelFile("model.safetensors", size, sha256.digest(), tuple(chunks))
    manifest = Manifest.build([made])
    with Cache.open(root) as cache, path.open("rb") as file:
        cache.begin(manifest)
        for chunk in chunks:
            cache.store(verify(chunk, file.read(chunk.length)))
        return manifest, cache.publish(manifest) / made.path


def _receive(connection: socket.socket, buffer: memoryview) -> None:
    filled = 0
    while filled < len(buffer):
        piece = buffer[filled : filled + _RECEIVE_STEP]
        count = connection.recv_into(piece, 0, socket.MSG_WAITALL)
        if not count:
            raise RuntimeError("the sender went away")
        filled += count


def _run_all(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ratio(others_s: list[float], ours_s: list[float]) -> float:
    """Speed of ours over that of the other, round by round."""
    return round(statistics.median(a / b for a, b in zip(others_s, ours_s, strict=True)), 3)


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextmanager
def _serving(kind: str, path: Path) -> Iterator[int]:
    """A sender in a process of its own; its port."""
    command = [sys.executable, "-m", "bench.fetch", kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()  # tells it to end
        process.wait(10)


def _serve(kind: str, path: Path) -> None:
    """What a sender process does until its standard input ends."""
    if kind == "peer":
        with Cache.open(path) as cache, PeerServer(cache, incarnation=1) as server:
            print(server.port, flush=True)
            sys.stdin.read()
        return
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept_plain, args=(listener, path), daemon=True).start()
    sys.stdin.read()


def _accept_plain(listener: socket.socket, path: Path) -> None:
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_send_plain, args=(accepted, path), daemon=True).start()


def _send_plain(connection: socket.socket, path: Path) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, path.open("rb") as file:
        while len(asked := connection.recv(_RANGE.size, socket.MSG_WAITALL)) == _RANGE.size:
            offset, left = _RANGE.unpack(asked)
            while left:
                count = os.sendfile(connection.fileno(), file.fileno(), offset, left)
                offset, left = offset + count, left - count


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
