"""One accepted connection of the peer server.

A connection belongs to its own thread, and from `feed` on to that of the `FeedLoop`; only `cut`,
`progressed_s` and `answering` are for the watch thread. It ends with the peer's end of stream, an
error, a malformed header, or a cut.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from cachd.cache.cache import Cache, OpenChunk
from cachd.peer import protocol
from cachd.peer.feed import Feed, HeldThere
from cachd.peer.offers import Offers
from cachd.peer.protocol import Follow, GetChunk, GetDocument, Held, Malformed, Status
from cachd.peer.traffic import Traffic
from registry_core.domain.identifiers import Digest


class _Gone(Exception):
    """The connection cannot go on; there is nobody to tell."""


class ServedConnection:
    def __init__(
        self,
        accepted: socket.socket,
        cache: Cache,
        offers: Offers,
        incarnation: int,
        traffic: Traffic,
    ) -> None:
        self._socket = accepted
        self._cache = cache
        self._offers = offers
        self._held_there = HeldThere()
        self._incarnation = incarnation
        self._traffic = traffic
        self._progressed_s = time.monotonic()
        self._fed: Feed | None = None
        self.answering = False

    @property
    def progressed_s(self) -> float:
        """When the peer last took or gave something."""
        return self._fed.progressed_s if self._fed is not None else self._progressed_s

    def cut(self) -> None:
        """Wake the connection's thread and make it end. From any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def serve(self) -> Digest | None:
        """Answer until the peer goes, or follows a version: then `feed` it."""
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._traffic.congestion.apply(self._socket)  # a route's would come before a listener's
            self._send(protocol.encode_hello(self._incarnation))
            protocol.decode_hello(self._receive(protocol.HELLO_BYTES))
            while True:
                header = self._receive(protocol.HEADER_BYTES)
                kind, length = protocol.decode_request_header(header)
                payload = self._receive(length)
                self.answering = True
                followed = self._answer(kind, payload)
                if followed is not None:
                    return followed
                self.answering = False
        except (_Gone, Malformed, OSError):
            return None  # the peer sees the end of the stream and tells its own side

    def _answer(self, kind: int, payload: bytes) -> Digest | None:
        try:
            request = protocol.decode_request(kind, payload)
        except Malformed:
            self._refuse(Status.BAD_REQUEST)
            return None
        match request:
            case GetChunk():
                self._give_chunk(request)
            case Follow(digest):
                return digest
            case GetDocument():
                self._give_document(request)
            case Held():
                self._held_there.note(request)
        return None

    def feed(self, digest: Digest) -> Feed:
        """For the rest of the connection."""
        self._fed = Feed(
            self._socket, self._cache, self._offers, digest, self._held_there, self._traffic
        )
        return self._fed

    def _give_chunk(self, request: GetChunk) -> None:
        if not self._traffic.try_slot():
            return self._refuse(Status.BUSY)
        try:
            found = self._cache.open_chunk(request.chunk_id)
            if found is None:
                return self._refuse(Status.NOT_FOUND)
            try:
                if request.offset + request.length > found.length:
                    return self._refuse(Status.BAD_REQUEST)
                start = found.offset + request.offset
                part = OpenChunk(found.descriptor, start, request.length)
                self._send_file(_head_of(part), part)
                self._traffic.add(request.length)
            finally:
                os.close(found.descriptor)
        finally:
            self._traffic.free_slot()

    def _give_document(self, request: GetDocument) -> None:
        path = self._cache.document_path(request.digest, request.kind)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._refuse(Status.NOT_FOUND)
        try:
            whole = OpenChunk(descriptor, 0, os.fstat(descriptor).st_size)
            self._send_file(_head_of(whole), whole)
        finally:
            os.close(descriptor)

    def _refuse(self, status: Status) -> None:
        self._send(protocol.encode_response_header(status, 0))

    def _send_file(self, head: bytes, part: OpenChunk) -> None:
        self._send(head, socket.MSG_MORE if part.length else 0)
        offset, end = part.offset, part.offset + part.length
        out, step_max = self._socket.fileno(), self._traffic.step_bytes()
        while offset < end:
            step = min(step_max, end - offset)
            self._traffic.take(step)
            self._progressed_s = time.monotonic()  # this node's limit is no fault of the reader
            count = os.sendfile(out, part.descriptor, offset, step)
            if not count:
                raise _Gone  # the file is shorter than it was: end here rather than invent bytes
            offset += count
            self._progressed_s = time.monotonic()

    def _send(self, data: bytes, flags: int = 0) -> None:
        self._socket.sendall(data, flags)
        self._progressed_s = time.monotonic()

    def _receive(self, count: int) -> bytes:
        data = self._socket.recv(count, socket.MSG_WAITALL) if count else b""
        if len(data) != count:
            raise _Gone
        self._progressed_s = time.monotonic()
        return data


def _head_of(part: OpenChunk) -> bytes:
    return protocol.encode_response_header(Status.OK, part.length)
