"""What one follower of a version is sent: maps when they change, and pushed chunks.

Belongs to the thread of its connection. A chunk is pushed once, in the order in which the chunks
came, from the first one on, so that who comes late gets all that this node brought into the region;
what the follower has told to hold is passed over. One follower that is slow delays nobody else.
Under an upload limit a push waits for its share of it before it begins; maps go on meanwhile.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from cachd import limits
from cachd.cache.cache import Cache, OpenChunk
from cachd.peer import protocol
from cachd.peer.bitmaps import adds, bit, set_bit
from cachd.peer.offers import Offers
from cachd.peer.protocol import Held, Malformed, Status
from cachd.peer.traffic import Traffic
from registry_core.domain.identifiers import ChunkId, Digest

_ACTIVE_S = 2.0
"""For so long after the last change, small changes are looked for often."""


class HeldThere:
    """What a follower has told that it holds: before it follows, and meanwhile."""

    def __init__(self) -> None:
        self._bitmap = bytearray()

    def __contains__(self, number: int) -> bool:
        return bit(self._bitmap, number)

    def note(self, told: Held) -> None:
        start, end = told.first >> 3, (told.first >> 3) + len(told.bitmap)
        if told.first & 7 or end > limits.HAVE_BITMAP_MAX:
            raise Malformed("a follower holds what no version has")
        self._bitmap.extend(bytes(max(0, end - len(self._bitmap))))
        for place, byte in enumerate(told.bitmap, start):
            self._bitmap[place] |= byte


class Feed:
    """`send` and `send_file` write a message's head, and a part of a file with its head."""

    def __init__(
        self,
        connection: socket.socket,
        cache: Cache,
        offers: Offers,
        digest: Digest,
        there: HeldThere,
        *,
        send: Callable[[bytes], None],
        send_file: Callable[[bytes, OpenChunk], None],
        traffic: Traffic,
    ) -> None:
        self._connection = connection
        self._cache = cache
        self._offers = offers
        self._digest = digest
        self._send = send
        self._send_file = send_file
        self._traffic = traffic
        self._chunk_ids: list[ChunkId] | None = None
        self._there = there
        self._sent: tuple[bytes, bytes] | None = None
        self._sent_at_s = self._changed_at_s = time.monotonic()

    def run(self) -> None:
        """Until the connection ends, by an OSError or Malformed, or by returning."""
        try:
            self._run()
        finally:
            self._offers.unfollow(self._digest, self)

    def _run(self) -> None:
        changes = -1
        self._send_status(Status.NOT_FOUND if self._maps() is None else Status.QUIET)
        while self._hear():
            self._send_maps()
            now_s = time.monotonic()
            if now_s - self._sent_at_s > limits.QUIET_S:
                self._send_status(Status.QUIET)
            if self._push_next():
                continue
            active = now_s - self._changed_at_s < _ACTIVE_S
            pause_s = self._offers.maps_interval_s(self._digest) if active else limits.QUIET_S / 5
            changes = self._offers.wait(self._digest, changes, pause_s)

    def _hear(self) -> bool:
        """Take what the follower told meanwhile; False once it has gone."""
        while True:
            try:
                head = self._connection.recv(protocol.HEADER_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            if not head:
                return False
            head += self._rest(protocol.HEADER_BYTES - len(head))
            kind, length = protocol.decode_request_header(head)
            request = protocol.decode_request(kind, self._rest(length))
            if not isinstance(request, Held):
                raise Malformed("a follower asks for something else")
            self._there.note(request)

    def _rest(self, count: int) -> bytes:
        data = self._connection.recv(count, socket.MSG_WAITALL) if count else b""
        if len(data) != count:
            raise Malformed("a message of a follower ends early")
        return data

    def _maps(self) -> tuple[bytes, bytes] | None:
        held = self._cache.have(self._digest)
        if held is None:
            return None
        claims, to_send = self._offers.promised(self._digest, self)
        promised = bytearray(claims.ljust(len(held), b"\0")[: len(held)])
        for number in to_send:
            set_bit(promised, number)
        return held, bytes(promised)

    def _send_maps(self) -> None:
        """If they changed: new promises at once, all else now and then. That a promise was kept the
        follower knows by the chunk itself."""
        maps, now_s = self._maps(), time.monotonic()
        if maps is None or maps == self._sent:
            return
        self._changed_at_s = now_s
        for_huge_maps_s = 2 * len(maps[0]) / limits.MAPS_BYTES_PER_S
        interval_s = max(self._offers.maps_interval_s(self._digest), for_huge_maps_s)
        urgent = self._sent is None or adds(maps[1], self._sent[1])
        if urgent or now_s - self._sent_at_s >= interval_s:
            both = maps[0] + maps[1]
            self._send(protocol.encode_response_header(Status.MAPS, len(both)) + both)
            self._sent, self._sent_at_s = maps, now_s

    def _push_next(self) -> bool:
        """The next chunk that the follower lacks, if the limit has room for it; False if there is
        none for now."""
        number = self._offers.next_push(self._digest, self)
        if number is None:
            return False
        needed = number not in self._there
        if needed:
            if not self._traffic.try_push():
                return True
            try:
                self._push(number)
            finally:
                self._traffic.end_push()
        self._offers.sent(self._digest, self, needed=needed)
        return True

    def _push(self, number: int) -> None:
        if self._chunk_ids is None:
            manifest = self._cache.versions().get(self._digest)
            self._chunk_ids = list(manifest.unique_chunks) if manifest is not None else []
        if number >= len(self._chunk_ids):
            return  # the version was dropped meanwhile
        found = self._cache.open_chunk(self._chunk_ids[number])
        if found is None:
            return  # the same of its chunks: the follower asks elsewhere
        head = protocol.encode_response_header(Status.UNIT, protocol.NUMBER_BYTES + found.length)
        try:
            self._send_file(head + protocol.encode_number(number), found)
        finally:
            os.close(found.descriptor)
        self._sent_at_s = time.monotonic()

    def _send_status(self, status: Status) -> None:
        self._send(protocol.encode_response_header(status, 0))
        self._sent_at_s = time.monotonic()
