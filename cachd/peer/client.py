"""Takes chunks and documents from one peer over one connection.

Whatever the peer does ends within a bound of time and memory: a connect timeout, a receive
timeout per system call, a minimum of bytes per window (less the time that this node's own limit
takes), and lengths checked against what was asked before anything is read.
What comes is not verified here: chunks go through cachd.cache.verifier, documents by digest.
"""

from __future__ import annotations

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
from cachd.peer.errors import PeerBusy, PeerLacks, PeerMisbehaved, PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.peer_socket import PeerSocket
from cachd.peer.progress_window import ProgressWindow
from cachd.peer.protocol import GetChunk, GetDocument, Request, Status
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Chunk

_TIMEVAL = struct.Struct("@ll")


def _ignore(_: int) -> None:
    pass


def _no_limit(_: int) -> float:
    return 0.0


def connected(address: PeerAddress, timeout_s: float = limits.CONNECT_TIMEOUT_S) -> socket.socket:
    """A socket to the peer, whose host may be a name. PeerUnreachable."""
    try:
        if address.has_name:
            return socket.create_connection((address.host, address.port), timeout=timeout_s)
        return _connected_without_lookup(address, timeout_s)
    except OSError as error:
        raise PeerUnreachable(f"peer {address} cannot be reached: {error}") from error


def _connected_without_lookup(address: PeerAddress, timeout_s: float) -> socket.socket:
    """The resolver takes its time for an address too, and loads its tables at first."""
    connection = socket.socket(address.family)
    try:
        connection.settimeout(timeout_s)
        connection.connect((address.host, address.port))
    except BaseException:
        connection.close()
        raise
    return connection


class PeerConnection(PeerSocket):
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
        self._window_s = progress_window_s
        self._receive_timeout_ms = round(receive_timeout_s * 1000)
        super().__init__(address, connected(address, connect_timeout_s), intake or Intake())
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
            self.require_progress(window, time.monotonic(), filled, self._intake.least_bytes)

    def _wait_for(self, count: int) -> None:
        """Until so many bytes are there, or the receive timeout."""
        self.wake_at(count)
        self._poller.poll(self._receive_timeout_ms)
