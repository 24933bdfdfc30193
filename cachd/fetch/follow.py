"""Following peers: what they hold, and the chunks that they push.

A connection is made in a thread of its own, since that may wait; then one of a few loops hears it,
beside others (`hear_loop`). What comes is told to the coordinator as events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import cycle

from cachd import limits
from cachd.cache.cache import Cache
from cachd.fetch.events import Event, PeerSilent
from cachd.fetch.hear_loop import FollowedPeer, HearLoop
from cachd.fetch.incoming import Incoming
from cachd.peer.client import PeerConnection
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.intake import Intake
from registry_core.domain.identifiers import NodeId
from registry_core.domain.manifest import Manifest


class Followers:
    """`follow` begins with one peer, which ends with an error or `cut`, and is told then."""

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
        self._manifest = manifest
        self._incarnation = incarnation
        self._tell = tell
        self._prepare = prepare
        self._intake = intake
        self._incoming = Incoming(cache, manifest, intake)
        self._lock = threading.Lock()  # guards the three below
        self._open: dict[PeerAddress, PeerConnection] = {}
        self._connecting: set[threading.Thread] = set()
        self._stopping = False
        self._loops = [
            HearLoop(self._incoming, intake, tell, self._ended, prepare)
            for _ in range(limits.HEAR_LOOPS)
        ]
        self._next_loop = cycle(self._loops)

    def follow(self, address: PeerAddress) -> None:
        thread = threading.Thread(
            target=self._connect, args=(address,), name="cachd-follow", daemon=True
        )
        with self._lock:
            self._connecting.add(thread)
            thread.start()

    def moved_s(self) -> Mapping[NodeId, float]:
        """By peer: when a part of a chunk that it pushes last came."""
        return self._incoming.moved_s.copy()

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
            connecting = list(self._connecting)
        for thread in connecting:
            thread.join()
        for loop in self._loops:
            loop.stop()

    def _connect(self, address: PeerAddress) -> None:
        self._prepare()
        try:
            peer = PeerConnection(address, incarnation=self._incarnation, intake=self._intake)
            try:
                self._keep(address, peer)
                peer.follow(self._manifest.digest, self._cache.have(self._manifest.digest) or b"")
                chunks = len(self._manifest.unique_chunks)
                with self._lock:
                    next(self._next_loop).add(FollowedPeer(peer, chunks))
            except BaseException:
                peer.close()
                raise
        except Exception as error:  # handed to the coordinator, which judges it
            self._ended(address, error)
        finally:
            with self._lock:
                self._connecting.discard(threading.current_thread())

    def _keep(self, address: PeerAddress, peer: PeerConnection) -> None:
        with self._lock:
            if self._stopping:
                raise PeerUnreachable("the fetch is being stopped")
            self._open[address] = peer

    def _ended(self, address: PeerAddress, error: Exception) -> None:
        with self._lock:
            self._open.pop(address, None)
        self._tell(PeerSilent(address, error))
