"""One chunk from one source into one buffer, verified. Each `ChunkReader` belongs to one thread,
keeps its connections, and reuses one preallocated page-aligned buffer for every chunk.

A kept connection may have been closed at the other end since it was last used: a failure on one
is tried again on a new connection, once.
"""

from __future__ import annotations

import itertools
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from cachd import limits
from cachd.cache.cache import Cache, OpenChunk
from cachd.cache.verifier import PartVerifier, VerifiedChunk, Verifier, verify
from cachd.fetch.attempts import Attempt
from cachd.fetch.blame import LocalCopyGone
from cachd.fetch.plan import Wanted
from cachd.fetch.runs import Run, whole_of
from cachd.fetch.view import Fixed
from cachd.peer.client import PeerConnection
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.passing import PassingChunk
from registry_core.domain.limits import CHUNK_MAX, CHUNK_PART
from registry_core.domain.manifest import Chunk
from registry_core.domain.packs import Location
from registry_core.errors import IntegrityError, NotFound, OriginError
from registry_core.origin.store import Origin

T = TypeVar("T")


class Connections:
    """The peer connections that one thread keeps, at most a few, oldest out first.

    `lock` guards the table for `cut` and `cancel`, which any thread may call to make all reads, or
    one, fail soon; after `cut` no new connection is made.
    """

    def __init__(self, incarnation: int, intake: Intake) -> None:
        self._incarnation = incarnation
        self._intake = intake
        self._lock = threading.Lock()
        self._open: dict[PeerAddress, PeerConnection] = {}
        self._cut = False
        self._for: Attempt | None = None

    def use(self, address: PeerAddress, attempt: Attempt, act: Callable[[PeerConnection], T]) -> T:
        """`act` on a connection to the peer, kept for the next time unless it broke."""
        with self._lock:
            kept = self._open.pop(address, None)
        if kept is not None:
            try:
                return self._act(kept, attempt, act)
            except PeerUnreachable:
                if attempt.abandoned:
                    raise
                # closed since it was last used
        connection = PeerConnection(address, incarnation=self._incarnation, intake=self._intake)
        return self._act(connection, attempt, act)

    def cut(self) -> None:
        with self._lock:
            self._cut = True
            for connection in self._open.values():
                connection.cut()

    def cancel(self, attempt: Attempt) -> None:
        """Cut what the attempt uses, if it is under way here. `abandoned` is set already, so that
        it does not begin afterwards either."""
        with self._lock:
            if self._for is attempt and attempt.address in self._open:
                self._open[attempt.address].cut()

    def close(self) -> None:
        with self._lock:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def _act(
        self, connection: PeerConnection, attempt: Attempt, act: Callable[[PeerConnection], T]
    ) -> T:
        self._keep(connection, attempt)
        try:
            return act(connection)
        finally:
            with self._lock:
                self._for = None
                if connection.closed:
                    self._open.pop(connection.address, None)

    def _keep(self, connection: PeerConnection, attempt: Attempt) -> None:
        with self._lock:
            if self._cut or attempt.abandoned:
                connection.close()
                raise PeerUnreachable("it is not wanted any more")
            self._open[connection.address], self._for = connection, attempt
            if len(self._open) > limits.CONNECTIONS_PER_THREAD_MAX:
                self._open.pop(next(iter(self._open))).close()


class ChunkReader:
    """Reads chunks for one worker thread."""

    def __init__(
        self,
        cache: Cache,
        origin: Origin | None,
        incarnation: int,
        intake: Intake,
        pass_on: Callable[[PassingChunk], None],
    ) -> None:
        self._cache = cache
        self._origin = origin
        self._pass_on = pass_on
        self._intake = intake
        self._pages = mmap.mmap(-1, CHUNK_MAX)
        self._buffer = memoryview(self._pages)
        self.connections = Connections(incarnation, intake)

    def read_run(self, run: Run) -> Sequence[memoryview | None]:
        """The bytes of each in one request to the origin, unverified; None for each where the pack
        lacks some: asked for one by one, they show which."""
        place, total = whole_of(run), sum(attempt.wanted.chunk.length for attempt in run)
        if self._origin is None or place is None or place.length != total:
            return [None] * len(run)
        with self._intake.transfer():
            self._intake.take_all(total)  # before asking: it comes in one piece
            try:
                data = self._origin.read_chunk(place)
            except (NotFound, OriginError) as error:
                if isinstance(error, OriginError) and error.retryable:
                    raise
                return [None] * len(run)
        ends = itertools.accumulate(attempt.wanted.chunk.length for attempt in run)
        return [
            data[end - attempt.wanted.chunk.length : end]
            for attempt, end in zip(run, ends, strict=True)
        ]

    def read(self, attempt: Attempt, piece: memoryview | None = None) -> VerifiedChunk:
        """The chunk, whose bytes stay valid until the next read; `piece` are its bytes where a run
        has brought them. Errors are the source's own."""
        chunk = attempt.wanted.chunk
        if piece is not None:
            return verify(chunk, piece)
        if attempt.source is Fixed.LOCAL:
            return self._from_cache(chunk)
        with self._intake.transfer():
            if attempt.source is Fixed.ORIGIN:
                return self._from_origin(attempt)
            if attempt.address is None:
                raise PeerUnreachable(f"{attempt.source} has no address")
            return self.connections.use(
                attempt.address, attempt, lambda peer: self._from_peer(peer, chunk)
            )

    def clone(self, attempt: Attempt) -> bool:
        """Whether the cache could take a local chunk over from another of its files as it is."""
        return self._cache.clone(attempt.wanted.chunk, self._buffer)

    def close(self) -> None:
        self.connections.close()
        self._buffer.release()

    def _from_peer(self, peer: PeerConnection, chunk: Chunk) -> VerifiedChunk:
        verifier = Verifier(chunk, self._buffer)
        peer.get_chunk_into(chunk, self._buffer, verifier.advance)
        return verifier.finish()

    def _from_origin(self, attempt: Attempt) -> VerifiedChunk:
        if self._origin is None or attempt.location is None:
            raise NotFound("no origin is configured")
        if attempt.location.length != attempt.wanted.chunk.length:
            raise IntegrityError("the hint gives a chunk another length than the manifest")
        self._intake.take_all(attempt.wanted.chunk.length)  # before asking: it comes in one piece
        if attempt.passed_on:
            return self._passed_on(self._origin, attempt.location, attempt.wanted)
        return verify(attempt.wanted.chunk, self._origin.read_chunk(attempt.location))

    def _passed_on(self, origin: Origin, place: Location, wanted: Wanted) -> VerifiedChunk:
        """It goes to followers as far as its marks have proven it."""
        passing, filled = PassingChunk(wanted.number, wanted.chunk.length), 0
        verifier = PartVerifier(wanted.chunk, passing.data)
        for piece in origin.chunk_in_parts(place, CHUNK_PART):
            passing.data[filled : filled + len(piece)] = piece
            filled += len(piece)
            verifier.advance(filled)
            if verifier.proven > passing.there:
                passing.there = verifier.proven
                self._pass_on(passing)
        verified = verifier.finish()
        passing.there = wanted.chunk.length
        self._pass_on(passing)
        return verified

    def _from_cache(self, chunk: Chunk) -> VerifiedChunk:
        """A copy from another file of this cache, hashed again: disks forget."""
        found = self._cache.open_chunk(chunk.id)
        if found is None:
            raise LocalCopyGone("this cache does not hold the chunk any more")
        try:
            return self._verified_at(found, chunk)
        except OSError as error:
            raise LocalCopyGone(f"a file of this cache cannot be read: {error}") from error
        except IntegrityError:
            self._cache.condemn(chunk.id)
            raise
        finally:
            os.close(found.descriptor)

    def _verified_at(self, found: OpenChunk, chunk: Chunk) -> VerifiedChunk:
        verifier, filled = Verifier(chunk, self._buffer), 0
        while filled < chunk.length:
            piece = self._buffer[filled : min(filled + limits.COPY_SLICE, chunk.length)]
            count = os.preadv(found.descriptor, [piece], found.offset + filled)
            if not count:
                raise IntegrityError("a file of this cache is too short")
            filled += count
            verifier.advance(filled)
        return verifier.finish()
