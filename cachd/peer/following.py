"""A connection over which a peer is asked what it holds of a version, and to push what it brings.

Nothing here waits: connecting, and what there is to say, go on when a poller tells that the socket
takes more. Then a `Hearing` takes what comes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable

from cachd.peer import protocol
from cachd.peer.client import connected
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.peer_socket import PeerSocket
from cachd.peer.protocol import Follow, Held
from registry_core.domain.identifiers import Digest

Bitmap = Callable[[], bytes]


class Following(PeerSocket):
    """`connect` does not wait unless the host has a name. Then `speak` until all is said.
    `incarnation` is the peer's, once its hello has come."""

    def __init__(
        self,
        address: PeerAddress,
        connection: socket.socket,
        intake: Intake,
        digest: Digest,
        incarnation: int,
    ) -> None:
        super().__init__(address, connection, intake)
        self._digest = digest
        self._own_incarnation = incarnation
        self.incarnation = 0
        self._unsaid: memoryview | None = None

    @classmethod
    def connect(
        cls, address: PeerAddress, intake: Intake, digest: Digest, incarnation: int
    ) -> Following:
        """Begun: it may fail later. PeerUnreachable."""
        connection = _named(address, intake) if address.has_name else _begun(address, intake)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(address, connection, intake, digest, incarnation)

    def speak(self, held: Bitmap) -> bool:
        """The socket takes more: say what it takes; whether all is said. The peer is not to send
        what `held` names, as it is when the connection stands. PeerUnreachable, if it does not
        come about."""
        with self.exchange():
            if self._unsaid is None:
                self._require_connected()
                self._unsaid = memoryview(self._greeting(held()))
            try:
                while self._unsaid:
                    self._unsaid = self._unsaid[self._socket.send(self._unsaid) :]
            except BlockingIOError:
                return False
        return True

    @property
    def connected(self) -> bool:
        return self._unsaid is not None

    @property
    def all_said(self) -> bool:
        return self._unsaid is not None and not self._unsaid

    def tell_held_at_once(self, number: int) -> None:
        """One chunk more that need not be sent; from any thread. Not told before all is said, or
        where that would wait: the push is spared if it can be."""
        held = Held(number & ~7, bytes([1 << (number & 7)]))
        if self.all_said:
            with contextlib.suppress(OSError):
                self._socket.send(protocol.encode_request(held))

    def _require_connected(self) -> None:
        failed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise _unreachable(self.address, failed)

    def _greeting(self, held: bytes) -> bytes:
        """What is held goes first, or the peer would begin to push what is here."""
        said = bytearray(protocol.encode_hello(self._own_incarnation))
        for start in range(0, len(held), protocol.HELD_BITMAP_MAX):
            part = held[start : start + protocol.HELD_BITMAP_MAX]
            if any(part):
                said += protocol.encode_request(Held(8 * start, part))
        return bytes(said + protocol.encode_request(Follow(self._digest)))


def _named(address: PeerAddress, intake: Intake) -> socket.socket:
    connection = connected(address)
    intake.congestion.apply(connection)
    return connection


def _begun(address: PeerAddress, intake: Intake) -> socket.socket:
    try:
        connection = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise _unreachable(address, error.errno or 0) from error
    try:
        intake.congestion.apply(connection)
        failed = connection.connect_ex((address.host, address.port))
    except OSError as error:
        failed = error.errno or errno.EIO
    if failed not in (0, errno.EINPROGRESS):
        connection.close()
        raise _unreachable(address, failed)
    return connection


def _unreachable(address: PeerAddress, failed: int) -> PeerUnreachable:
    return PeerUnreachable(f"peer {address} cannot be reached: {os.strerror(failed)}")
