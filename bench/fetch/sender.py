"""A sender as a program: `python -m bench.fetch.sender peer CACHE`, or `plain FILE`.

It prints its port, and ends when its standard input does."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

from bench.fetch.plain import RANGE
from cachd.cache.cache import Cache
from cachd.peer.server import PeerServer


def _serve(kind: str, path: Path) -> None:
    if kind == "peer":
        with Cache.open(path) as cache, PeerServer(cache, incarnation=1) as server:
            print(server.port, flush=True)
            sys.stdin.read()
        return
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, path), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, path: Path) -> None:
    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=_send, args=(accepted, path), daemon=True).start()


def _send(connection: socket.socket, path: Path) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, path.open("rb") as file:
        while len(asked := connection.recv(RANGE.size, socket.MSG_WAITALL)) == RANGE.size:
            offset, left = RANGE.unpack(asked)
            while left:
                count = os.sendfile(connection.fileno(), file.fileno(), offset, left)
                offset, left = offset + count, left - count


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
