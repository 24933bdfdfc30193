"""Following peers: a thread for each, which hears what the peer holds and takes what it pushes.

Pushed chunks are verified and stored here as they come; the coordinator is told afterwards. A chunk
that is there already is read and forgotten. Buffers are few and shared, so that memory does not
grow with the number of peers: who finds none waits, and TCP lets the peer wait too.
"""

from __future__ import annotations

import mmap
import queue
import threading
import time
from collections.abc import Callable, Sequence

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.verifier import Verifier
from cachd.fetch.events import ChunkPushed, Event, PeerSilent, PeerTold
from cachd.peer.client import Maps, PeerConnection, Quiet, Unit
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerMisbehaved, PeerUnreachable
from cachd.peer.intake import Intake
from registry_core.domain.identifiers import Digest, NodeId
from registry_core.domain.manifest import Chunk, Manifest


class Buffers:
    """At most so many of `size` bytes, made when they are first needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: queue.LifoQueue[memoryview | None] = queue.LifoQueue()
        for _ in range(max(1, min(limits.PUSHES_AT_ONCE, limits.OUTSTANDING_MAX // size))):
            self._free.put(None)

    def take(self) -> memoryview:
        return self._free.get() or memoryview(mmap.mmap(-1, self._size))

    def give_back(self, buffer: memoryview) -> None:
        self._free.put(buffer)


class Followers:
    """The threads. `follow` begins one, which ends with the peer, an error, or `cut`."""

    def __init__(
        self,
        cache: Cache,
        manifest: Manifest,
        incarnation: int,
        tell: Callable[[Event], None],
        prepare: Callable[[], None],
        intake: Intake,
    ) -> None:
        self._cache = cache
        self._digest: Digest = manifest.digest
        self._chunks: Sequence[Chunk] = list(manifest.unique_chunks.values())
        self._incarnation = incarnation
        self._tell = tell
        self._prepare = prepare
        self._intake = intake
        self._buffers = Buffers(max(chunk.length for chunk in self._chunks))
        self._lock = threading.Lock()  # guards the three below
        self._open: dict[PeerAddress, PeerConnection] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = False
        self.moved_s: dict[NodeId, float] = {}
        """By peer: when a part of a chunk last came. Each thread writes but its own."""

    def follow(self, address: PeerAddress) -> None:
        thread = threading.Thread(
            target=self._run, args=(address,), name="cachd-follow", daemon=True
        )
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
            thread.start()

    def cut(self, address: PeerAddress) -> None:
        """End following this peer soon; it is told as any other end."""
        with self._lock:
            connection = self._open.get(address)
            if connection is not None:
                connection.cut()

    def tell_held(self, address: PeerAddress, number: int) -> None:
        """Spare this peer a push: the chunk came from elsewhere."""
        with self._lock:
            connection = self._open.get(address)
            if connection is not None:
                connection.tell_held_at_once(number)

    def stop(self) -> None:
        """End all, and return when they have."""
        with self._lock:
            self._stopping = True
            for connection in self._open.values():
                connection.cut()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _run(self, address: PeerAddress) -> None:
        self._prepare()
        try:
            with PeerConnection(
                address, incarnation=self._incarnation, intake=self._intake
            ) as peer:
                self._keep(address, peer)
                peer.follow(self._digest, self._cache.have(self._digest) or b"")
                while True:
                    self._hear(address, peer)
        except Exception as error:  # handed to the coordinator, which judges it
            self._tell(PeerSilent(address, error))
        finally:
            with self._lock:
                self._open.pop(address, None)

    def _keep(self, address: PeerAddress, peer: PeerConnection) -> None:
        with self._lock:
            if self._stopping:
                raise PeerUnreachable("the fetch is being stopped")
            self._open[address] = peer

    def _hear(self, address: PeerAddress, peer: PeerConnection) -> None:
        message = peer.hear(len(self._chunks))
        match message:
            case Maps(held, claimed):
                self._tell(PeerTold(address, peer.incarnation, (held, claimed)))
            case Quiet(known):
                if not known:
                    self._tell(PeerTold(address, peer.incarnation, None))
            case Unit():
                self._take(address, peer, message)

    def _watched(self, address: PeerAddress, verifier: Verifier) -> Callable[[int], None]:
        """Takes note of each step that is worth it, so that a trickle is none."""
        next_step = limits.PROGRESS_STEP

        def advance(filled: int) -> None:
            nonlocal next_step
            verifier.advance(filled)
            if filled >= next_step:
                next_step = filled + limits.PROGRESS_STEP
                self.moved_s[address.node_id] = time.monotonic()

        return advance

    def _take(self, address: PeerAddress, peer: PeerConnection, unit: Unit) -> None:
        chunk = self._chunks[unit.number] if unit.number < len(self._chunks) else None
        if chunk is None or chunk.length != unit.length:
            raise PeerMisbehaved(
                f"peer {address} pushes chunk {unit.number} with {unit.length} bytes, which this "
                "version does not have"
            )
        buffer = self._buffers.take()
        try:
            verifier = Verifier(chunk, buffer)
            with self._intake.transfer():
                peer.receive_unit(buffer[: unit.length], self._watched(address, verifier))
            self._cache.store(verifier.finish())
        finally:
            self._buffers.give_back(buffer)
        self._tell(ChunkPushed(address, unit.number))
