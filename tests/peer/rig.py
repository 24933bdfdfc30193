"""Peers that behave, and peers that do not: real sockets either way."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cachd import limits
from cachd.peer import protocol
from cachd.peer.directory import PeerAddress
from cachd.peer.following import Following
from cachd.peer.hearing import Hearing, Message, Unit
from cachd.peer.intake import Intake
from cachd.peer.protocol import Status
from registry_core.domain.identifiers import Digest, NodeId

Script = Callable[[socket.socket], None]


def address(port: int, node: str = "peer") -> PeerAddress:
    return PeerAddress(NodeId(node), "127.0.0.1", port)


@contextmanager
def scripted_peer(script: Script) -> Iterator[PeerAddress]:
    """A server that runs `script` on each connection, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            script(connection)
        connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            accepted.append(connection)
            threads.append(threading.Thread(target=run, args=(connection,)))
            threads[-1].start()

    accepter = threading.Thread(target=accept)
    accepter.start()
    try:
        yield address(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepter.join()
        for connection in accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def greet(connection: socket.socket) -> None:
    """The server's half of a proper hello."""
    connection.sendall(protocol.encode_hello(1))
    if len(connection.recv(protocol.HELLO_BYTES, socket.MSG_WAITALL)) < protocol.HELLO_BYTES:
        raise OSError("the client went away")


def read_request(connection: socket.socket) -> protocol.Request:
    header = connection.recv(protocol.HEADER_BYTES, socket.MSG_WAITALL)
    if len(header) < protocol.HEADER_BYTES:
        raise OSError("the client went away")
    kind, length = protocol.decode_request_header(header)
    return protocol.decode_request(kind, connection.recv(length, socket.MSG_WAITALL))


def maps_message(held: bytes, claimed: bytes) -> bytes:
    """What a follower is told of a version."""
    both = held + claimed
    return protocol.encode_response_header(Status.MAPS, len(both)) + both


def unit_message(number: int, data: bytes) -> bytes:
    """A chunk that is pushed to a follower."""
    length = protocol.NUMBER_BYTES + len(data)
    head = protocol.encode_response_header(Status.UNIT, length)
    return head + protocol.encode_number(number) + data


@contextmanager
def following(
    to: PeerAddress, digest: Digest, chunks: int, held: bytes = b""
) -> Iterator[Follower]:
    """Of a version of so many chunks."""
    peer = Following.connect(to, Intake(), digest, 1)
    try:
        while not peer.all_said:
            assert select.select([], [peer], [], 10)[1], "the peer takes nothing"
            peer.speak(lambda: held)
        yield Follower(peer, Hearing(peer, chunks))
    finally:
        peer.close()


class Follower:
    """Follows a version, and waits for what is told."""

    def __init__(self, peer: Following, hearing: Hearing) -> None:
        self.peer = peer
        self._hearing = hearing

    def hear(self) -> Message:
        deadline_s = time.monotonic() + 10
        while (message := self._hearing.hear()) is None:
            assert time.monotonic() < deadline_s, "the peer says nothing"
            select.select([self.peer], [], [], 1)
        return message

    def heard(self) -> list[Message]:
        """What has come already."""
        return list(iter(self._hearing.hear, None))

    def receive(self, unit: Unit) -> bytes:
        """The bytes of the unit just heard of."""
        buffer, filled = memoryview(bytearray(unit.length)), 0
        while filled < unit.length:
            self.peer.wake_at(min(limits.RECEIVE_STEP, unit.length - filled))
            assert select.select([self.peer], [], [], 10)[0], "no more bytes come"
            filled += self.peer.receive_now(buffer[filled:])
        return bytes(buffer)

    def hear_units(self, count: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        while len(found) < count:
            message = self.hear()
            if isinstance(message, Unit):
                found[message.number] = self.receive(message)
        return found


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Poll `condition` until it holds; AssertionError after the deadline."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.005)
