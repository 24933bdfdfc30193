"""Requests of a peer, taken as they come. Belongs to one thread at a time."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from cachd.peer import protocol
from cachd.peer.protocol import Malformed, Request


class Gone(Exception):
    """The connection cannot go on; there is nobody to tell."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came, which is to be answered."""

    kind: int
    payload: bytes

    def decoded(self) -> Request | None:
        """None: it is to be refused."""
        try:
            return protocol.decode_request(self.kind, self.payload)
        except Malformed:
            return None


class Requests:
    """Of a connection, whose hello comes first. No byte is taken that belongs to what follows the
    request that `next` gave: somebody else may go on there."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._part = b""
        self._wanted = protocol.HELLO_BYTES
        self._greeted = False
        self._kind: int | None = None
        """Of the request whose payload is awaited."""

    def next(self) -> Asked | None:
        """None until more has come: does not wait. Gone, Malformed or an OSError end it."""
        return self._next(socket.MSG_DONTWAIT)

    def wait(self) -> Asked:
        """The same, once all of it has come."""
        asked = self._next(socket.MSG_WAITALL)
        if asked is None:
            raise Gone  # it ended in the midst of a request
        return asked

    def _next(self, flags: int) -> Asked | None:
        while (part := self._whole_part(flags)) is not None:
            if not self._greeted:
                protocol.decode_hello(part)
                self._greeted, self._wanted = True, protocol.HEADER_BYTES
            elif self._kind is None:
                self._kind, self._wanted = protocol.decode_request_header(part)
            else:
                asked = Asked(self._kind, part)
                self._kind, self._wanted = None, protocol.HEADER_BYTES
                return asked
        return None

    def _whole_part(self, flags: int) -> bytes | None:
        missing = self._wanted - len(self._part)
        if missing:
            try:
                data = self._socket.recv(missing, flags)
            except BlockingIOError:
                return None
            if not data:
                raise Gone
            self._part += data
            if len(data) < missing:
                return None
        part, self._part = self._part, b""
        return part
