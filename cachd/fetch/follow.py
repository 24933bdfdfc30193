"""Following peers: what they hold, and the chunks that they push.

One of a few loops has a peer, beside others (`hear_loop`). Only a host that has a name is connected
to by a thread of its own, since looking it up may wait. What comes is told to the coordinator as
events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from itertools import cycle

from cachd import limits
from cachd.cache.cache import Cache
from cachd.fetch.events import PeerSilent
from cachd.fetch.hear_loop import FollowedPeer, HearLoop
from cachd.fetch.incoming import Incoming
from cachd.fetch.mailbox import Mailbox
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.following import Following
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
        mailbox: Mailbox,
        prepare: Callable[[], None],
        intake: Intake,
    ) -> None:
        self._cache = cache
        self._manifest = manifest
        self._incarnation = incarnation
        self._mailbox = mailbox
        self._prepare = prepare
        self._intake = intake
        self._incoming = Incoming(cache, manifest, intake)
        self._lock = threading.Lock()  # guards the three below
        self._open: dict[PeerAddress, Following] = {}
        self._connecting: set[threading.Thread] = set()
        self._stopping = False
        self._loops = [
            HearLoop(self._incoming, intake, mailbox.put_news, self._ended, prepare, self._held)
            for _ in range(limits.HEAR_LOOPS)
        ]
        self._next_loop = cycle(self._loops)

    def follow(self, address: PeerAddress) -> None:
        if address.has_name:
            thread = threading.Thread(
                target=self._look_up, args=(address,), name="cachd-follow", daemon=True
            )
            with self._lock:
                self._connecting.add(thread)
                thread.start()
        else:
            self._connect(address)

    def moved_s(self) -> Mapping[NodeId, float]:
        """By peer: when a part of a chunk that it pushes last came."""
        return self._incoming.moved_s.copy()

    def coming_s(self) -> Mapping[NodeId, float]:
        """By peer: since when a chunk that it pushes has been coming."""
        return self._incoming.coming_s.copy()

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

    def _look_up(self, address: PeerAddress) -> None:
        self._prepare()
        try:
            self._connect(address)
        finally:
            with self._lock:
                self._connecting.discard(threading.current_thread())

    def _connect(self, address: PeerAddress) -> None:
        digest, chunks = self._manifest.digest, len(self._manifest.unique_chunks)
        try:
            peer = Following.connect(address, self._intake, digest, self._incarnation)
        except Exception as error:  # handed to the coordinator, which judges it
            return self._ended(address, error)
        with self._lock:
            if not self._stopping:
                self._open[address] = peer
                self._intake.followed = len(self._open)
                return next(self._next_loop).add(FollowedPeer(peer, chunks))
        peer.close()
        return self._ended(address, PeerUnreachable("the fetch is being stopped"))

    def _held(self) -> bytes:
        return self._cache.have(self._manifest.digest) or b""

    def _ended(self, address: PeerAddress, error: Exception) -> None:
        with self._lock:
            self._open.pop(address, None)
            self._intake.followed = len(self._open)
        self._mailbox.put(PeerSilent(address, error))
