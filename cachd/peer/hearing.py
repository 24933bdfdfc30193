"""What a followed peer sends, taken as it comes. Nothing here waits; belongs to one thread.

hello, Held, Follow  ->
                     <-  hello
                     <-  Maps | Quiet | Unit, whose bytes follow     any number of them
"""

from __future__ import annotations

from dataclasses import dataclass

from cachd.peer import protocol
from cachd.peer.errors import PeerMisbehaved
from cachd.peer.following import Following
from cachd.peer.protocol import Malformed, Status


@dataclass(frozen=True, slots=True)
class Maps:
    """Bitmaps over the version's distinct chunks: held, and promised."""

    held: bytes
    claimed: bytes


@dataclass(frozen=True, slots=True)
class Unit:
    """A chunk that the peer pushes: `length` bytes follow."""

    number: int
    length: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """The peer lives. `known`: whether it knows the version, or is yet to begin with it."""

    known: bool


Message = Maps | Unit | Quiet


class Hearing:
    """Of one peer, about a version of so many distinct chunks. Of the connection it leaves the
    speaking to others. `greeted`: the peer's hello has come."""

    def __init__(self, peer: Following, chunks: int) -> None:
        self.peer = peer
        self._map_bytes = (chunks + 7) // 8
        rest = max(2 * self._map_bytes, protocol.NUMBER_BYTES)
        self._bytes = memoryview(bytearray(protocol.HEADER_BYTES + rest))
        self._hello = memoryview(bytearray(protocol.HELLO_BYTES))
        self._into, self._filled, self._wanted = self._hello, 0, protocol.HELLO_BYTES
        self.greeted = False

    def hear(self) -> Message | None:
        """The next message, or None until more has come: call until then, or a poller may wait for
        too much. The bytes of a `Unit` must be taken off the connection before the next call."""
        with self.peer.exchange():
            while self._arrived():
                if not self.greeted:
                    self._greet()
                    continue
                status, length = protocol.decode_response_header(
                    self._bytes[: protocol.HEADER_BYTES]
                )
                more = self._head_of(status, length)
                if self._wanted == protocol.HEADER_BYTES + more:
                    self._filled, self._wanted = 0, protocol.HEADER_BYTES
                    return self._decoded(status, length)
                self._wanted += more
        return None

    def _greet(self) -> None:
        self.peer.incarnation = protocol.decode_hello(bytes(self._hello))
        self.greeted = True
        self._into, self._filled, self._wanted = self._bytes, 0, protocol.HEADER_BYTES

    def _arrived(self) -> bool:
        missing = self._into[self._filled : self._wanted]
        count = self.peer.receive_now(missing) if missing else 0
        self._filled += count
        if count < len(missing):
            self.peer.wake_at(len(missing) - count)
        return count == len(missing)

    def _head_of(self, status: Status, length: int) -> int:
        """How many bytes belong to the message itself."""
        match status:
            case Status.QUIET | Status.NOT_FOUND if not length:
                return 0
            case Status.MAPS if length == 2 * self._map_bytes:
                return length
            case Status.UNIT if length > protocol.NUMBER_BYTES:
                return protocol.NUMBER_BYTES
        raise PeerMisbehaved(
            f"peer {self.peer.address} sends {status.name} of {length} bytes to a follower"
        )

    def _decoded(self, status: Status, length: int) -> Message:
        said = bytes(self._bytes[protocol.HEADER_BYTES :])
        match status:
            case Status.MAPS:
                return Maps(said[: self._map_bytes], said[self._map_bytes : 2 * self._map_bytes])
            case Status.UNIT:
                number = protocol.decode_number(said[: protocol.NUMBER_BYTES])
                return Unit(number, length - protocol.NUMBER_BYTES)
            case Status.QUIET | Status.NOT_FOUND:
                return Quiet(known=status is Status.QUIET)
        raise Malformed(f"{status.name} is no message to a follower")
