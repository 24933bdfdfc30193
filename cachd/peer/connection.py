"""One accepted connection of the peer server.

A connection belongs to the `Reception` until it is clear what the peer wants: `feed` makes it the
`FeedLoop`'s, `serve` belongs to a thread of its own. Only `cut`, `progressed_s` and `answering` are
for the watch thread. It ends with the peer's end of stream, an error, a malformed header, or a cut.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

from cachd import limits
from cachd.cache.cache import Cache, OpenChunk
from cachd.peer import protocol
from cachd.peer.feed import Feed, HeldThere
from cachd.peer.offers import Offers
from cachd.peer.protocol import Follow, GetChunk, GetDocument, Held, Malformed, Status
from cachd.peer.requests import Asked, Gone, Requests
from cachd.peer.traffic import Traffic
from registry_core.domain.identifiers import Digest


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
        self._requests = Requests(accepted)
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

    def fileno(self) -> int:
        return self._socket.fileno()

    def greet(self) -> None:
        """At first, when there is room for so little."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._traffic.congestion.apply(self._socket)  # a route's would come before a listener's
        self._send(protocol.encode_hello(self._incarnation))

    def hear(self) -> Follow | Asked | None:
        """What the peer wants: then `feed` or `serve` it; None until more has come. Does not wait.
        Gone, Malformed or an OSError end it."""
        for _ in range(limits.NEWCOMER_SAYS_AT_ONCE):
            asked = self._requests.next()
            if asked is None:
                return None
            self._progressed_s = time.monotonic()
            match asked.decoded():
                case Follow() as wanted:
                    return wanted
                case Held() as told:
                    self._held_there.note(told)
                case GetDocument() as wanted if not self._document(wanted).exists():
                    self._refuse_now(Status.NOT_FOUND)
                case _:
                    return asked
        return None

    def _refuse_now(self, status: Status) -> None:
        """At the start of a rollout all ask each other for what none has: not by a thread each.
        Who does not read even that has itself to blame."""
        try:
            self._send(protocol.encode_response_header(status, 0), socket.MSG_DONTWAIT)
        except BlockingIOError:
            raise Gone from None

    def serve(self, first: Asked) -> Digest | None:
        """Answer until the peer goes, or follows a version: then `feed` it."""
        try:
            asked = first
            while True:
                self.answering = True
                followed = self._answer(asked)
                if followed is not None:
                    return followed
                self.answering = False
                asked = self._requests.wait()
                self._progressed_s = time.monotonic()
        except (Gone, Malformed, OSError):
            return None  # the peer sees the end of the stream and tells its own side

    def _answer(self, asked: Asked) -> Digest | None:
        match asked.decoded():
            case None:
                self._refuse(Status.BAD_REQUEST)
            case Follow(digest):
                return digest
            case GetChunk() as wanted:
                self._give_chunk(wanted)
            case GetDocument() as wanted:
                self._give_document(wanted)
            case Held() as told:
                self._held_there.note(told)
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
        try:
            descriptor = os.open(self._document(request), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._refuse(Status.NOT_FOUND)
        try:
            whole = OpenChunk(descriptor, 0, os.fstat(descriptor).st_size)
            self._send_file(_head_of(whole), whole)
        finally:
            os.close(descriptor)

    def _document(self, wanted: GetDocument) -> Path:
        return self._cache.document_path(wanted.digest, wanted.kind)

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
                raise Gone  # the file is shorter than it was: end here rather than invent bytes
            offset += count
            self._progressed_s = time.monotonic()

    def _send(self, data: bytes, flags: int = 0) -> None:
        self._socket.sendall(data, flags)
        self._progressed_s = time.monotonic()


def _head_of(part: OpenChunk) -> bytes:
    return protocol.encode_response_header(Status.OK, part.length)
