"""Takes chunks and documents from one peer over one connection, or follows a version there.

Whatever the peer does ends within a bound of time and memory: a connect timeout, a receive
timeout per system call, a minimum of bytes per window (less the time that this node's own limit
takes), and lengths checked against what was asked before anything is read. A connection belongs to
one thread; only `cut` is for others. After an error with `broken` set the connection is closed.
What comes is not verified here: chunks go through cachd.cache.verifier, documents by digest.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType

from cachd import limits
from cachd.cache.documents import DocumentKind
from cachd.peer import protocol
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import (
    PeerBusy,
    PeerError,
    PeerLacks,
    PeerMisbehaved,
    PeerTooSlow,
    PeerUnreachable,
)
from cachd.peer.intake import Intake
from cachd.peer.progress_window import ProgressWindow
from cachd.peer.protocol import Follow, GetChunk, GetDocument, Held, Malformed, Request, Status
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Chunk

_TIMEVAL = struct.Struct("@ll")


def _ignore(_: int) -> None:
    pass


def _no_limit(_: int) -> float:
    return 0.0


class PeerConnection:
    """Connected, and hellos exchanged, once constructed. `incarnation` is the peer's."""

    def __init__(
        self,
        address: PeerAddress,
        *,
        incarnation: int = 0,
        intake: Intake | None = None,
        connect_timeout_s: float = limits.CONNECT_TIMEOUT_S,
        receive_timeout_s: float = limits.RECEIVE_TIMEOUT_S,
        progress_window_s: float = limits.PROGRESS_WINDOW_S,
    ) -> None:
        self.address = address
        self._intake = intake or Intake()
        self._window_s = progress_window_s
        self._receive_timeout_ms = round(receive_timeout_s * 1000)
        self._wakes_at = 1
        try:
            self._socket = socket.create_connection(
                (address.host, address.port), timeout=connect_timeout_s
            )
        except OSError as error:
            raise PeerUnreachable(f"peer {address} cannot be reached: {error}") from error
        try:
            self._poller = select.poll()
            self._poller.register(self._socket, select.POLLIN)
            self._prepare(receive_timeout_s)
            self._socket.sendall(protocol.encode_hello(incarnation))
            hello = self._receive(protocol.HELLO_BYTES)
            self.incarnation = protocol.decode_hello(hello)
        except BaseException as error:
            self.close()
            raise self._translated(error) from error

    def __enter__(self) -> PeerConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        self._socket.close()

    def cut(self) -> None:
        """Make a call under way in another thread fail soon."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def get_chunk_into(
        self, chunk: Chunk, buffer: memoryview, on_slice: Callable[[int], None] = _ignore
    ) -> None:
        """The whole chunk into `buffer`; `on_slice` is told how many bytes are there, as they
        come."""
        with self.exchange():
            length = self._ask(GetChunk(chunk.id, 0, chunk.length))
            if length != chunk.length:
                raise PeerMisbehaved(
                    f"peer {self.address} answers with {length} bytes where {chunk.length} were "
                    "asked for"
                )
            self._receive_into(buffer[:length], on_slice, self._intake.take)

    def follow(self, digest: Digest, held: bytes) -> None:
        """Ask to be told what the peer holds of a version, and to be sent what it brings in, other
        than what `held` (a bitmap) names. From here on, a `Hearing` takes what comes."""
        self.tell_held(0, held)  # first, or the peer would begin to push what is here
        with self.exchange():
            self._socket.sendall(protocol.encode_request(Follow(digest)))

    def tell_held(self, first: int, held: bytes) -> None:
        """The chunks of the bitmap from number `first` on need not be sent any more."""
        step = protocol.HELD_BITMAP_MAX
        with self.exchange():
            for start in range(0, len(held), step):
                part = held[start : start + step]
                if any(part):
                    request = protocol.encode_request(Held(first + 8 * start, part))
                    self._socket.sendall(request)

    def tell_held_at_once(self, number: int) -> None:
        """The same of one chunk; from any thread once `follow` has returned. Not told where that
        would wait: the push is spared if it can be."""
        held = Held(number & ~7, bytes([1 << (number & 7)]))
        with contextlib.suppress(OSError):
            self._socket.send(protocol.encode_request(held), socket.MSG_DONTWAIT)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive_now(self, view: memoryview) -> int:
        """As many bytes into `view` as are there, at most all of it; 0 if none is."""
        try:
            count = self._socket.recv_into(view, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        if not count:
            raise PeerUnreachable(f"peer {self.address} ended the connection")
        return count

    def require_progress(self, window: ProgressWindow, now_s: float, filled: int) -> None:
        """PeerTooSlow if a transfer, of which so many bytes are there, brings too little."""
        brought = window.brought(now_s, filled)
        if brought is not None and brought < self._intake.least_bytes:
            raise PeerTooSlow(f"peer {self.address} sent {brought} bytes in {window.seconds:g} s")

    def wake_at(self, count: int) -> None:
        """A poller sees this connection once so many bytes are there. A thread that is woken for
        every packet does little else on a slow link."""
        if count != self._wakes_at:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._wakes_at = count

    def document(self, digest: Digest, kind: DocumentKind, *, bytes_max: int) -> bytes:
        """The document, unverified. Memory grows only with what has arrived."""
        with self.exchange():
            length = self._ask(GetDocument(digest, kind))
            if length > bytes_max:
                raise PeerMisbehaved(
                    f"peer {self.address} has a document of {length} bytes, more than {bytes_max}"
                )
            data = bytearray()
            while len(data) < length:
                data += self._receive(min(limits.DOCUMENT_STEP, length - len(data)), bulk=True)
        return bytes(data)

    def exchange(self) -> _Exchange:
        """One request and its answer: errors translated, a broken connection closed."""
        return _Exchange(self)

    def spoilt(self, error: BaseException) -> BaseException:
        """What an exchange ended by; the connection is closed unless it is as good as before."""
        translated = self._translated(error)
        if not isinstance(translated, PeerError) or translated.broken:
            self.close()
        return translated

    def _prepare(self, receive_timeout_s: float) -> None:
        # Timeouts of the socket itself rather than of Python: no poll before each call.
        self._socket.settimeout(None)
        timeout = _TIMEVAL.pack(int(receive_timeout_s), int(receive_timeout_s % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._intake.congestion.apply(self._socket)

    def _ask(self, request: Request) -> int:
        """Send the request; the length of the payload that follows."""
        self._socket.sendall(protocol.encode_request(request))
        status, length = protocol.decode_response_header(self._receive(protocol.HEADER_BYTES))
        if status is Status.OK:
            return length
        if length:
            raise PeerMisbehaved(f"peer {self.address} sends bytes with {status.name}")
        if status is Status.BUSY:
            raise PeerBusy(f"peer {self.address} is busy")
        if status is Status.NOT_FOUND:
            raise PeerLacks(f"peer {self.address} does not have it")
        raise PeerMisbehaved(f"peer {self.address} refuses a request as malformed")

    def _receive(self, count: int, *, bulk: bool = False) -> bytes:
        data = bytearray(count)
        self._receive_into(memoryview(data), _ignore, self._intake.take if bulk else _no_limit)
        return bytes(data)

    def _receive_into(
        self, buffer: memoryview, on_slice: Callable[[int], None], take: Callable[[int], float]
    ) -> None:
        """`take` is told of each step, and waits for this node's limit."""
        filled, total = 0, len(buffer)
        window = ProgressWindow(self._window_s, time.monotonic())
        step = self._intake.step_bytes(limits.RECEIVE_STEP)
        while filled < total:
            piece = buffer[filled : filled + step]
            self._wait_for(len(piece))
            count = self.receive_now(piece)
            if count:
                filled += count
                on_slice(filled)
                window.held_up(take(count))
            self.require_progress(window, time.monotonic(), filled)

    def _wait_for(self, count: int) -> None:
        """Until so many bytes are there, or the receive timeout."""
        self.wake_at(count)
        self._poller.poll(self._receive_timeout_ms)

    def _translated(self, error: BaseException) -> BaseException:
        match error:
            case Malformed():
                return PeerMisbehaved(f"peer {self.address} does not speak the protocol: {error}")
            case BlockingIOError():
                return PeerTooSlow(f"peer {self.address} does not take a request")
            case OSError():
                return PeerUnreachable(f"peer {self.address}: {error.strerror or error}")
            case _:
                return error


class _Exchange:
    """A class rather than a generator: there are several for each step of a chunk."""

    __slots__ = ("_peer",)

    def __init__(self, peer: PeerConnection) -> None:
        self._peer = peer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is not None:
            translated = self._peer.spoilt(error)
            if translated is not error:
                raise translated from error
