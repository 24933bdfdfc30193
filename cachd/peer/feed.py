"""What one follower of a version is sent: maps when they change, and pushed chunks.

Nothing here waits: what does not go at once goes on when the connection takes more. Belongs to the
thread of the `FeedLoop`. A chunk is pushed once, in the order in which the chunks came. Who comes
late gets the last few of those before as well; what the follower has told to hold is passed over.
One follower that is slow delays nobody else.
"""

from __future__ import annotations

import math
import os
import socket
import time

from cachd import limits
from cachd.cache.cache import Cache, OpenChunk
from cachd.peer import protocol
from cachd.peer.bitmaps import adds, bit, set_bit, union
from cachd.peer.offers import Offers
from cachd.peer.passing import PassingChunk
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
    """Over a connection that has asked for it. Each call may raise Malformed or an OSError, or
    ConnectionError once the follower has gone; then `close`. `progressed_s`: when it last took
    something."""

    def __init__(
        self,
        connection: socket.socket,
        cache: Cache,
        offers: Offers,
        digest: Digest,
        there: HeldThere,
        traffic: Traffic,
    ) -> None:
        connection.setblocking(False)
        segment = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        room = max(limits.FEED_SEND_BUFFER, limits.FEED_SEGMENTS_MIN * segment)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self._connection = connection
        self.descriptor = connection.fileno()
        self._cache = cache
        self._offers = offers
        self._digest = digest
        self._there = there
        self._traffic = traffic
        self._chunk_ids: list[ChunkId] | None = None
        self._heard = bytearray()
        self._head = b""
        self._push: _FilePush | _PassingPush | None = None
        self._sent: tuple[bytes, bytes] | None = None
        self._maps_at_s = 0.0
        """From then on they are sent for any change."""
        self._changes_seen = -1
        self.progressed_s = self._sent_at_s = self._changed_at_s = time.monotonic()
        self._queue_status(Status.NOT_FOUND if self._maps() is None else Status.QUIET)

    @property
    def under_way(self) -> bool:
        """There is something to send as soon as the connection takes it."""
        return bool(self._head) or (self._push is not None and self._push.ready > 0)

    def close(self) -> None:
        """Let go of what is under way; the connection is left as it is."""
        self._end_push()
        self._offers.unfollow(self._digest, self)

    def hear(self) -> None:
        """Take what the follower has told."""
        try:
            data = self._connection.recv(limits.FOLLOWER_SAYS_AT_ONCE)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("the follower has gone")
        self._heard += data
        while (told := self._next_told()) is not None:
            self._there.note(told)

    def look(self, now_s: float) -> float:
        """Unless something is under way, begin with what there is to send by now, at most one
        chunk; when to look again."""
        while not self.under_way:
            if self._push is not None:
                return math.inf  # more of the chunk is to come: the offers tell when
            self._queue_maps(now_s)
            if not self._head and now_s - self._sent_at_s > limits.QUIET_S:
                self._queue_status(Status.QUIET)
            pushing = self._begin_push(now_s)  # with the maps before it in one packet
            if not (pushing or self._head):
                return now_s + self._pause_s(now_s)
            self.send()
            if pushing:
                return math.inf if self.under_way else now_s  # others have their turn first
        return math.inf  # the connection tells when

    def send(self) -> None:
        """As much of what is under way as goes without waiting, at most one step of a chunk."""
        try:
            if self._head:
                more = socket.MSG_MORE if self._push is not None else 0
                self._head = self._head[self._connection.send(self._head, more) :]
                self.progressed_s = time.monotonic()
            if self._push is not None and not self._head:
                self._send_step(self._push)
        except BlockingIOError:
            pass

    def _send_step(self, push: _FilePush | _PassingPush) -> None:
        if push.broken:
            raise ConnectionAbortedError("the rest of a chunk will not come")
        if not push.ready:
            return
        if not push.booked:
            push.booked = min(self._traffic.step_bytes(), push.ready)
            self._traffic.take(push.booked)
        count = push.send(self._connection)
        push.booked -= count
        self.progressed_s = time.monotonic()
        push.offset += count
        if push.offset == push.end:
            self._traffic.add(push.length)
            self._end_push()
            self._offers.sent(self._digest, self)

    def _end_push(self) -> None:
        if self._push is not None:
            self._push.close()
            self._traffic.end_push()
            self._push = None

    def _next_told(self) -> Held | None:
        """The next whole message of the follower."""
        if len(self._heard) < protocol.HEADER_BYTES:
            return None
        kind, length = protocol.decode_request_header(bytes(self._heard[: protocol.HEADER_BYTES]))
        end = protocol.HEADER_BYTES + length
        if len(self._heard) < end:
            return None
        request = protocol.decode_request(kind, bytes(self._heard[protocol.HEADER_BYTES : end]))
        if not isinstance(request, Held):
            raise Malformed("a follower asks for something else")
        del self._heard[:end]
        return request

    def _maps(self) -> tuple[bytes, bytes] | None:
        held = self._cache.have(self._digest)
        if held is None:
            return None
        claims, to_send = self._offers.promised(self._digest, self)
        promised = bytearray(claims.ljust(len(held), b"\0")[: len(held)])
        for number in to_send:
            set_bit(promised, number)
        return held, bytes(promised)

    def _queue_maps(self, now_s: float) -> None:
        """If they changed: promises made or broken at once, all else now and then. That one was
        kept the follower knows by the chunk itself."""
        if now_s < self._maps_at_s and self._offers.changes(self._digest) == self._changes_seen:
            return
        self._changes_seen = self._offers.changes(self._digest)
        maps = self._maps()
        if maps is None or maps == self._sent:
            return
        self._changed_at_s = now_s
        if now_s >= self._maps_at_s or self._urgent(*maps):
            both = maps[0] + maps[1]
            self._queue(protocol.encode_response_header(Status.MAPS, len(both)) + both)
            self._sent, self._sent_at_s = maps, now_s
            for_huge_maps_s = 2 * len(maps[0]) / limits.MAPS_BYTES_PER_S
            interval_s = max(self._offers.maps_interval_s(self._digest), for_huge_maps_s)
            self._maps_at_s = now_s + interval_s

    def _urgent(self, held: bytes, promised: bytes) -> bool:
        """Something is promised, or will not come after all: others may wait for it, or do not."""
        if self._sent is None:
            return True
        promised_before = self._sent[1]
        return adds(promised, promised_before) or adds(promised_before, union(held, promised))

    def _begin_push(self, now_s: float) -> bool:
        """With the next chunk that the follower lacks, if the limit has room for it; False if there
        is nothing to begin with for now."""
        while (number := self._offers.next_push(self._digest, self)) is not None:
            push = self._push_of(number) if number not in self._there else None
            if push is None:
                self._offers.sent(self._digest, self, needed=False)
                continue
            if not self._traffic.try_push():
                push.close()
                return False
            length = protocol.NUMBER_BYTES + push.length
            head = protocol.encode_response_header(Status.UNIT, length)
            self._queue(head + protocol.encode_number(number))
            self._push = push
            self._sent_at_s = now_s
            return True
        return False

    def _push_of(self, number: int) -> _FilePush | _PassingPush | None:
        passing = self._offers.passing(self._digest, number)
        if passing is not None:
            return _PassingPush(passing)
        found = self._find(number)
        return _FilePush(found) if found is not None else None

    def _find(self, number: int) -> OpenChunk | None:
        """None if it was dropped meanwhile: the follower asks elsewhere."""
        if self._chunk_ids is None:
            manifest = self._cache.versions().get(self._digest)
            self._chunk_ids = list(manifest.unique_chunks) if manifest is not None else []
        if number >= len(self._chunk_ids):
            return None
        return self._cache.open_chunk(self._chunk_ids[number])

    def _queue_status(self, status: Status) -> None:
        self._queue(protocol.encode_response_header(status, 0))
        self._sent_at_s = time.monotonic()

    def _queue(self, head: bytes) -> None:
        self._head += head

    def _pause_s(self, now_s: float) -> float:
        if self._offers.has_push(self._digest, self):
            return limits.TRANSFER_WAIT_S  # the limit has no room yet
        active = now_s - self._changed_at_s < _ACTIVE_S
        return self._offers.maps_interval_s(self._digest) if active else limits.QUIET_S / 5


class _FilePush:
    """A chunk on its way: the rest of a part of a file. `ready`: bytes that may go now. `booked`:
    of the limit, for bytes that are yet to leave."""

    def __init__(self, found: OpenChunk) -> None:
        self._file = found.descriptor
        self.length = found.length
        self.booked = 0
        self.offset, self.end = found.offset, found.offset + found.length
        self.broken = False

    @property
    def ready(self) -> int:
        return self.end - self.offset

    def send(self, connection: socket.socket) -> int:
        """How many of the booked bytes went."""
        count = os.sendfile(connection.fileno(), self._file, self.offset, self.booked)
        if not count:  # the file is shorter than it was: end here rather than invent bytes
            raise ConnectionAbortedError("a chunk's file has become shorter")
        return count

    def close(self) -> None:
        os.close(self._file)


class _PassingPush:
    """The same of one that is still coming. `broken`: the rest of it will not come."""

    def __init__(self, chunk: PassingChunk) -> None:
        self._chunk = chunk
        self.booked = self.offset = 0
        self.length = self.end = len(chunk)

    @property
    def ready(self) -> int:
        return self._chunk.there - self.offset

    @property
    def broken(self) -> bool:
        return self._chunk.given_up and not self.ready

    def send(self, connection: socket.socket) -> int:
        return connection.send(self._chunk.data[self.offset : self.offset + self.booked])

    def close(self) -> None:
        pass
