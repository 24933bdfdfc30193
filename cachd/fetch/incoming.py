"""Chunks that peers push, verified and stored as they come.

Buffers are few and shared, so that memory does not grow with the number of peers: who finds none
waits, and TCP lets the peer wait too. `begin` may be called by any thread, and a chunk that it gave
belongs to the thread that called it.
"""

from __future__ import annotations

import mmap
import queue
import time

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.verifier import Verifier
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerMisbehaved
from cachd.peer.hearing import Unit
from cachd.peer.intake import Intake
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Chunk, Manifest


class Buffers:
    """At most so many of `size` bytes, made when they are first needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: queue.LifoQueue[memoryview | None] = queue.LifoQueue()
        for _ in range(max(1, min(limits.PUSHES_AT_ONCE, limits.OUTSTANDING_MAX // size))):
            self._free.put(None)

    def try_take(self) -> memoryview | None:
        try:
            return self._free.get_nowait() or memoryview(mmap.mmap(-1, self._size))
        except queue.Empty:
            return None

    def give_back(self, buffer: memoryview) -> None:
        self._free.put(buffer)


class Incoming:
    """Of one fetch. `moved_s`: by peer, when a part of a chunk last came. `coming_s`: since when
    one has been coming."""

    def __init__(self, cache: Cache, manifest: Manifest, intake: Intake) -> None:
        self._cache = cache
        self._chunks = list(manifest.unique_chunks.values())
        self._intake = intake
        self._buffers = Buffers(max(chunk.length for chunk in self._chunks))
        self.moved_s: dict[NodeId, float] = {}
        self.coming_s: dict[NodeId, float] = {}

    def require(self, unit: Unit, address: PeerAddress) -> Chunk:
        """The chunk that a peer pushes; PeerMisbehaved if this version has none like it."""
        chunk = self._chunks[unit.number] if unit.number < len(self._chunks) else None
        if chunk is None or chunk.length != unit.length:
            raise PeerMisbehaved(
                f"peer {address} pushes chunk {unit.number} with {unit.length} bytes, which this "
                "version does not have"
            )
        return chunk

    def begin(self, unit: Unit, address: PeerAddress) -> IncomingChunk | None:
        """None while this node's limit or its buffers have no room for one more."""
        chunk = self.require(unit, address)
        self.coming_s.setdefault(address.node_id, time.monotonic())
        if not self._intake.try_begin():
            return None
        buffer = self._buffers.try_take()
        if buffer is None:
            self._intake.end()
            return None
        return IncomingChunk(unit, chunk, buffer)

    def advance(self, incoming: IncomingChunk, count: int, node: NodeId) -> bool:
        """So many bytes more have come from that node; whether the chunk is whole now, and stored.
        IntegrityError if it is another."""
        incoming.filled += count
        incoming.verifier.advance(incoming.filled)
        if incoming.filled >= incoming.next_step:  # a trickle is no progress
            incoming.next_step = incoming.filled + limits.PROGRESS_STEP
            self.moved_s[node] = time.monotonic()
        if incoming.filled < incoming.unit.length:
            return False
        self._cache.store(incoming.verifier.finish())
        return True

    def end(self, node: NodeId, incoming: IncomingChunk | None) -> None:
        """Nothing comes from that node any more. `incoming`: what `begin` gave, once, whether it
        is whole or not."""
        self.coming_s.pop(node, None)
        if incoming is not None:
            self._buffers.give_back(incoming.buffer)
            self._intake.end()


class IncomingChunk:
    """One on its way."""

    def __init__(self, unit: Unit, chunk: Chunk, buffer: memoryview) -> None:
        self.unit = unit
        self.buffer = buffer
        self.verifier = Verifier(chunk, buffer)
        self.filled = 0
        self.next_step = limits.PROGRESS_STEP

    def rest(self, step: int) -> memoryview:
        """Where the next bytes go, at most a step of them."""
        return self.buffer[self.filled : min(self.filled + step, self.unit.length)]
