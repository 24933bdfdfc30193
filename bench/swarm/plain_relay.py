"""The same bytes over the same links by a fixed schedule: what they alone cost, not to be run.

`python -m bench.swarm.plain_relay CONFIG`. Who takes which piece from the origin is agreed before,
each sends every piece that it took to all others, and what arrives is believed: no manifest, plan,
promise, hash or mark, and no host may be late or fail. One thread, sendfile out, recv_into and
pwrite in, as cachd does. Its CPU time is a floor for that of any program; its time is none, since
nobody takes over from who is slow.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.swarm.parts import take_part

_PIECE = 256 << 10  # what cachd's chunks are for a file of 64 MiB
_SEND_BUFFER = 64 << 10
_READ = 256 << 10
_AHEAD = 2


@dataclass(slots=True)
class _In:
    """Pieces of one host, in order; `at`: bytes of all of them that are there."""

    pieces: list[int]
    sock: socket.socket
    at: int = 0


@dataclass(slots=True)
class _Out:
    """This host's pieces on their way to another."""

    sock: socket.socket
    at: int = 0
    waits: bool = False


class Relay:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._hosts, self._number = int(config["hosts"]), int(config["number"])
        self._size = int(config["size"])
        self._file = os.open(config["path"], os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._size)
        self._own = self._pieces_of(self._number)
        self._own_bytes = sum(map(self._length, self._own))
        self._asked = self._taken = 0
        self._head, self._body_at = b"", -1
        self._left = self._size
        self._outs: list[_Out] = []
        self._buffer = memoryview(bytearray(_READ))
        self._poll = selectors.DefaultSelector()
        self._listener = socket.create_server(
            (self._address(self._number), config["port"]), backlog=256
        )
        self._poll.register(self._listener, selectors.EVENT_READ)
        self._origin = socket.socket()

    def bring(self) -> Path:
        self._origin.connect((self._config["origin"], self._config["http"]))
        for _ in range(_AHEAD):
            self._ask()
        for number in range(1, self._hosts):
            if number != self._number:
                sock = socket.create_connection((self._address(number), self._config["port"]))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                sock.sendall(self._number.to_bytes(2, "little"))
                sock.setblocking(False)
                self._outs.append(_Out(sock))
        self._origin.setblocking(False)
        self._poll.register(self._origin, selectors.EVENT_READ)
        while self._left or any(out.at < self._own_bytes for out in self._outs):
            for key, _ in self._poll.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._origin:
                    self._from_origin()
                elif isinstance(key.data, _In):
                    self._receive(key.data)
                else:
                    self._send(key.data)
        return Path(self._config["path"])

    def _pieces_of(self, number: int) -> list[int]:
        return list(range(number - 1, -(-self._size // _PIECE), self._hosts - 1))

    def _length(self, piece: int) -> int:
        return min(_PIECE, self._size - piece * _PIECE)

    def _address(self, number: int) -> str:
        return str(self._config["addresses"][number])

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        number = int.from_bytes(sock.recv(2, socket.MSG_WAITALL), "little")
        sock.setblocking(False)
        coming = _In(self._pieces_of(number), sock)
        self._wake_at_piece(coming)
        self._poll.register(sock, selectors.EVENT_READ, coming)

    def _receive(self, coming: _In) -> None:
        index, within = divmod(coming.at, _PIECE)
        piece = coming.pieces[index]
        count = coming.sock.recv_into(self._buffer, self._length(piece) - within)
        if not count:
            raise ConnectionError("a host ended before it had sent all")
        os.pwrite(self._file, self._buffer[:count], piece * _PIECE + within)
        coming.at += count
        self._left -= count
        if coming.at == sum(map(self._length, coming.pieces)):
            self._poll.unregister(coming.sock)
        else:
            self._wake_at_piece(coming)

    def _wake_at_piece(self, coming: _In) -> None:
        """Not for every packet, as cachd does."""
        index, within = divmod(coming.at, _PIECE)
        low = min(_READ // 4, self._length(coming.pieces[index]) - within)
        coming.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low)

    def _ask(self) -> None:
        """For the next piece, while the one before is still coming."""
        if self._asked == len(self._own):
            return
        first = self._own[self._asked] * _PIECE
        last = first + self._length(self._own[self._asked]) - 1
        self._asked += 1
        self._origin.sendall(
            f"GET /{self._config['file']} HTTP/1.1\r\nHost: o\r\nRange: bytes={first}-{last}"
            "\r\n\r\n".encode()
        )

    def _from_origin(self) -> None:
        with contextlib.suppress(BlockingIOError):
            count = self._origin.recv_into(self._buffer)
            data = self._head + bytes(self._buffer[:count])
            while data:
                data = self._take(data)

    def _take(self, data: bytes) -> bytes:
        """Headers until their end, then a piece, which goes to all others once it is whole; what
        is left of `data` then."""
        if self._body_at < 0:
            self._head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                return b""
            self._body_at, self._head = 0, b""
        piece = self._own[self._taken]
        data, rest = data[: (room := self._length(piece) - self._body_at)], data[room:]
        os.pwrite(self._file, data, piece * _PIECE + self._body_at)
        self._body_at += len(data)
        self._left -= len(data)
        if self._body_at == self._length(piece):
            self._taken, self._body_at = self._taken + 1, -1
            self._ask()
            for out in self._outs:
                self._send(out)
        return rest

    def _send(self, out: _Out) -> None:
        """As much as the socket takes of what there is."""
        ready = sum(map(self._length, self._own[: self._taken]))
        blocked = False
        while out.at < ready and not blocked:
            index, within = divmod(out.at, _PIECE)
            piece = self._own[index]
            try:
                out.at += os.sendfile(
                    out.sock.fileno(), self._file, piece * _PIECE + within,
                    self._length(piece) - within,
                )  # fmt: skip
            except BlockingIOError:
                blocked = True
        if blocked and not out.waits:
            self._poll.register(out.sock, selectors.EVENT_WRITE, out)
        elif not blocked and out.waits:
            self._poll.unregister(out.sock)
        out.waits = blocked


if __name__ == "__main__":
    relay = Relay(json.loads(sys.argv[1]))
    take_part(relay.bring)
