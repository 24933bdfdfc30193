"""The threads of a fetch: workers bring the chunks that are asked for, followers what peers push.

They take tasks from a queue and hand events back; they own no state of the swarm. `stop` ends all
of them, cutting what is under way with peers; a read from the origin ends by its own timeouts.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from cachd.cache.cache import Cache
from cachd.cache.niceness import yield_to_others
from cachd.cache.pace import UNPACED, Pace
from cachd.fetch.attempts import Attempt
from cachd.fetch.events import ChunkFailed, ChunkStored, Event
from cachd.fetch.follow import Followers
from cachd.fetch.mailbox import Mailbox
from cachd.fetch.runs import Run
from cachd.fetch.sources import ChunkReader
from cachd.fetch.view import Fixed
from cachd.peer.bulk_path import BulkPath
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.passing import PassingChunk
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Manifest
from registry_core.origin.store import Origin


class Crew:
    """The threads of one fetch. Used by the coordinator only, apart from the queues. `pass_on` is
    told of each part of a chunk that is to be passed on, by the thread that brings it."""

    def __init__(
        self,
        cache: Cache,
        origin: Origin | None,
        manifest: Manifest,
        incarnation: int,
        bulk: BulkPath,
        pass_on: Callable[[PassingChunk], None],
        *,
        store_threads: int,
        niceness: int,
        pace: Pace = UNPACED,
    ) -> None:
        self.mailbox = Mailbox()
        self._cache = cache
        self._origin = origin
        self._pass_on = pass_on
        self._incarnation = incarnation
        self._niceness = niceness
        self._storing = threading.Semaphore(store_threads)
        self._chunks: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._readers: list[ChunkReader] = []
        self._threads: list[threading.Thread] = []
        self._intake = Intake(bulk, self._stopping, pace)
        self._followers = Followers(
            cache,
            manifest,
            incarnation,
            self.mailbox,
            lambda: yield_to_others(niceness),
            self._intake,
        )

    @property
    def held_up_s(self) -> float:
        """When this node's download limit last made bytes of this fetch wait."""
        return self._intake.held_up_s

    def moved_s(self) -> Mapping[NodeId, float]:
        """By peer: when a part of a chunk that it pushes last came."""
        return self._followers.moved_s()

    def coming_s(self) -> Mapping[NodeId, float]:
        """By peer: since when a chunk that it pushes has been coming."""
        return self._followers.coming_s()

    def fetch(self, run: Run, threads: int) -> None:
        """Have it done by one of so many threads."""
        while len(self._threads) < threads:
            self._start_one()
        self._chunks.put(run)

    def cancel(self, attempt: Attempt) -> None:
        """It is not needed any more; its end is told like any other."""
        attempt.abandoned = True
        for reader in self._readers:
            reader.connections.cancel(attempt)

    def follow(self, address: PeerAddress) -> None:
        self._followers.follow(address)

    def tell_held(self, address: PeerAddress, number: int) -> None:
        self._followers.tell_held(address, number)

    def unfollow(self, address: PeerAddress) -> None:
        self._followers.cut(address)

    def stop(self) -> None:
        """Ends every thread and returns when they have."""
        self._stopping.set()
        for reader in self._readers:
            reader.connections.cut()
        self._followers.stop()
        for _ in self._threads:
            self._chunks.put(None)
        for thread in self._threads:
            thread.join()

    def _start_one(self) -> None:
        reader = ChunkReader(
            self._cache, self._origin, self._incarnation, self._intake, self._pass_on
        )
        thread = threading.Thread(
            target=self._work, args=(reader,), name="cachd-fetch", daemon=True
        )
        self._readers.append(reader)
        self._threads.append(thread)
        thread.start()

    def _work(self, reader: ChunkReader) -> None:
        yield_to_others(self._niceness)
        try:
            while (run := self._chunks.get()) is not None:
                self._bring(reader, run)
        finally:
            reader.close()

    def _bring(self, reader: ChunkReader, run: Run) -> None:
        """Each attempt has a verdict of its own, also where one request brings several."""
        pieces: Sequence[memoryview | None] = [None] * len(run)
        began_s = time.monotonic()
        wanted = not (self._stopping.is_set() or all(attempt.abandoned for attempt in run))
        if len(run) > 1 and wanted:
            try:
                pieces = reader.read_run(run)
            except Exception as error:  # handed to the coordinator, which judges it
                for attempt in run:
                    self.mailbox.put(ChunkFailed(attempt, error))
                return
        took_s = time.monotonic() - began_s
        for attempt, piece in zip(run, pieces, strict=True):
            if piece is not None:
                attempt.together, attempt.took_s = len(run), took_s
            self.mailbox.put(self._attempt(reader, attempt, piece))

    def _attempt(self, reader: ChunkReader, attempt: Attempt, piece: memoryview | None) -> Event:
        if (attempt.abandoned and piece is None) or self._stopping.is_set():
            return ChunkFailed(attempt, PeerUnreachable("not begun any more"))
        try:
            if attempt.source is Fixed.LOCAL:
                with self._storing, self._intake.piece():
                    self._copy(reader, attempt)
            else:
                began_s = time.monotonic()
                verified = reader.read(attempt, piece)
                if piece is None:
                    attempt.took_s = time.monotonic() - began_s
                with self._storing, self._intake.piece():
                    self._cache.store(verified)
        except Exception as error:  # handed to the coordinator, which judges it
            return ChunkFailed(attempt, error)
        return ChunkStored(attempt)

    def _copy(self, reader: ChunkReader, attempt: Attempt) -> None:
        if not reader.clone(attempt):
            self._cache.store(reader.read(attempt))
