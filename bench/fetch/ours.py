"""cachd: receive, BLAKE3 while hot, write, fsync, publish, populate."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.fetch.source import Source
from cachd.cache.cache import Cache
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.settings import FetchSettings
from cachd.memory.fill import Filled, fill
from cachd.memory.held import Held
from cachd.memory.locking import LockMemory
from cachd.peer.directory import PeerAddress
from registry_core.domain.identifiers import NodeId


@dataclass(frozen=True, slots=True)
class Load:
    """A version that was brought from a peer to resident.

    `rss_bytes` is the largest resident set of this process from the first request until the
    version is published (VmHWM, reset before): anonymous memory, buffers and everything else that
    the fetch allocates, and the interpreter with all its libraries. Not in it are the pages of the
    file that is written, which are the kernel's cache, can be reclaimed and belong to no process;
    and the populating that follows, during which they are mapped and would be counted as this
    process's, though no byte more is in memory than before.
    """

    seconds: float
    rss_bytes: int


def load(root: Path, source: Source, port: int, threads: int) -> Load:
    """Bring the version from the peer at `port` into a cache at `root`, and drop it there."""
    peer = PeerAddress(NodeId("seed"), "127.0.0.1", port)
    settings = FetchSettings(threads=threads, niceness=0)  # as the plain loop
    with Cache.open(root) as cache:
        fetcher = Fetcher(cache, None, NodeId("node"), 1, settings)
        _reset_peak()
        began_s = time.perf_counter()
        report = fetcher.fetch(source.manifest, {}, lambda: [peer])
        visible = cache.publish(source.manifest)
        stored_s = time.perf_counter()
        rss_bytes = _peak_bytes()
        resumed_s = time.perf_counter()  # reading the peak is no part of it
        with closing(Held(visible, source.manifest)) as held:
            filled = _populate(held, source)
            seconds = time.perf_counter() - resumed_s + stored_s - began_s
        if filled.damaged:
            raise RuntimeError(f"the version is damaged: {filled.damaged}")
        if report.bytes_from_peers != source.size or report.complaints:
            raise RuntimeError(f"not all bytes came from the peer: {report}")
        cache.drop(source.manifest.digest)
    return Load(seconds, rss_bytes)


def _populate(held: Held, source: Source) -> Filled:
    """As a node does after a fetch, which hashed the bytes. Not locked: nor is the plain loop's
    file, nor are the rivals'."""
    never = threading.Event()
    return fill(held, source.manifest, never, lock=LockMemory.NEVER, hashed=False)


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
