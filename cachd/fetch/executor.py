"""The threads of a fetch: workers move chunks, scouts ask peers what they have.

They take tasks from a queue and hand events back; they own no state of the swarm. `stop` ends all
of them, cutting what is under way with peers; a read from the origin ends by its own timeouts.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass

from cachd import limits
from cachd.cache.cache import Cache
from cachd.fetch.sources import ChunkReader, Connections
from cachd.fetch.swarm import Attempt
from cachd.peer.client import PeerConnection
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerLacks, PeerUnreachable
from registry_core.domain.manifest import Manifest
from registry_core.origin.store import Origin


@dataclass(frozen=True, slots=True)
class ChunkStored:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ChunkFailed:
    attempt: Attempt
    error: Exception


@dataclass(frozen=True, slots=True)
class PeerAnswered:
    """`maps`: (held, claimed), or None if the peer does not know the version."""

    address: PeerAddress
    incarnation: int
    maps: tuple[bytes, bytes] | None


@dataclass(frozen=True, slots=True)
class PeerSilent:
    address: PeerAddress
    error: Exception


Event = ChunkStored | ChunkFailed | PeerAnswered | PeerSilent


class Crew:
    """The threads of one fetch. Used by the coordinator only, apart from the queues."""

    def __init__(
        self,
        cache: Cache,
        origin: Origin | None,
        manifest: Manifest,
        incarnation: int,
        *,
        threads: int,
        niceness: int,
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._cache = cache
        self._niceness = niceness
        self._chunks: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._polls: queue.SimpleQueue[PeerAddress | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._readers = [ChunkReader(cache, origin, incarnation) for _ in range(threads)]
        self._scouts = [Connections(incarnation) for _ in range(limits.SCOUT_THREADS)]
        self._digest, self._chunk_count = manifest.digest, len(manifest.unique_chunks)
        self._threads = [
            threading.Thread(target=self._work, args=(reader,), name="cachd-fetch", daemon=True)
            for reader in self._readers
        ] + [
            threading.Thread(target=self._scout, args=(kept,), name="cachd-scout", daemon=True)
            for kept in self._scouts
        ]
        for thread in self._threads:
            thread.start()

    def fetch(self, attempt: Attempt) -> None:
        self._chunks.put(attempt)

    def poll(self, address: PeerAddress) -> None:
        self._polls.put(address)

    def stop(self) -> None:
        """Ends every thread and returns when they have."""
        self._stopping.set()
        for connections in (*self._scouts, *(reader.connections for reader in self._readers)):
            connections.cut()
        for _ in self._threads:
            self._chunks.put(None)
            self._polls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, reader: ChunkReader) -> None:
        _be_nice(self._niceness)
        try:
            while (attempt := self._chunks.get()) is not None:
                self.events.put(self._attempt(reader, attempt))
        finally:
            reader.close()

    def _attempt(self, reader: ChunkReader, attempt: Attempt) -> Event:
        if attempt.abandoned or self._stopping.is_set():
            return ChunkFailed(attempt, PeerUnreachable("not begun any more"))
        try:
            self._cache.store(reader.read(attempt))
        except Exception as error:  # handed to the coordinator, which judges it
            return ChunkFailed(attempt, error)
        return ChunkStored(attempt)

    def _scout(self, kept: Connections) -> None:
        _be_nice(self._niceness)
        try:
            while (address := self._polls.get()) is not None:
                self.events.put(self._ask(kept, address))
        finally:
            kept.close()

    def _ask(self, kept: Connections, address: PeerAddress) -> Event:
        def maps(peer: PeerConnection) -> PeerAnswered:
            try:
                found = peer.have(self._digest, self._chunk_count)
            except PeerLacks:
                return PeerAnswered(address, peer.incarnation, None)
            return PeerAnswered(address, peer.incarnation, found)

        if self._stopping.is_set():
            return PeerSilent(address, PeerUnreachable("not asked any more"))
        try:
            return kept.use(address, maps)
        except Exception as error:  # handed to the coordinator, which judges it
            return PeerSilent(address, error)


def _be_nice(niceness: int) -> None:
    """Lower the priority of this thread alone (Linux: nice values are per thread)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
