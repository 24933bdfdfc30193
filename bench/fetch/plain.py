"""The plain loop: the same threads, sendfile to recv_into a reused buffer, and no hashing."""

from __future__ import annotations

import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.fetch.populate import populated
from cachd.cache.libc import start_writeback
from registry_core.domain.chunking import chunk_bytes_for, cut_fixed

RANGE = struct.Struct(">QQ")
"""What is asked for: offset and length."""
_RECEIVE_STEP = 256 * 1024


def receive(
    path: Path, port: int, size: int, threads: int, *, keep: bool, early: bool = False
) -> float:
    """Receive `size` bytes from the plain sender at `port`; the seconds.

    With `keep` they are written to `path`, synced with its folder, and populated; `early` starts
    writeback after each write, as ours does. The file is removed.
    """
    chunk_bytes = chunk_bytes_for(size)
    spans = iter(cut_fixed(0, size, chunk_bytes))
    lock = threading.Lock()
    began_s = time.perf_counter()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) if keep else -1

    def work() -> None:
        buffer = memoryview(mmap.mmap(-1, chunk_bytes))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while True:
                with lock:
                    span = next(spans, None)
                if span is None:
                    return
                connection.sendall(RANGE.pack(span[0], span[1] - span[0]))
                piece = buffer[: span[1] - span[0]]
                _receive(connection, piece)
                if keep:
                    os.pwrite(descriptor, piece, span[0])
                if early:
                    start_writeback(descriptor, span[0], len(piece))

    _run_all([work] * threads)
    if keep:
        os.fsync(descriptor)
        os.close(descriptor)
        _sync_folder(path.parent)
        mapped = populated(path)
    seconds = time.perf_counter() - began_s
    if keep:
        mapped.close()
    path.unlink(missing_ok=True)
    return seconds


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


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
