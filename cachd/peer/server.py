"""Gives chunks of this node's cache to peers: sendfile out, by a thread per connection that asks,
and one for all that follow a version. Another one receives whoever comes.

Whatever a peer does, what it costs is bounded: connections, upload slots (BUSY at once beyond),
idle time, and time per step for a slow reader. The connection threads block without timeouts;
one watch thread shuts down the sockets of those that take too long, which wakes whoever has them.
Only verified bytes can leave, since the cache locates no others.
Any thread may call `stop`, which returns when all threads have ended.
"""

from __future__ import annotations

import socket
import threading
import time

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.niceness import yield_to_others
from cachd.peer.bulk_path import UNBOUNDED, BulkPath
from cachd.peer.connection import ServedConnection
from cachd.peer.directory import family_of
from cachd.peer.errors import NotTrusted, PeerUnreachable
from cachd.peer.feed_loop import FeedLoop
from cachd.peer.offers import Offers
from cachd.peer.protocol import Follow
from cachd.peer.reception import Reception
from cachd.peer.requests import Asked
from cachd.peer.traffic import Traffic
from cachd.peer.trusted import LOOPBACK_ONLY, TrustedNetworks
from registry_core.domain.identifiers import Digest


class PeerServer:
    """Listens once constructed; `port` is the actual one when 0 was asked for."""

    def __init__(
        self,
        cache: Cache,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        trusted: TrustedNetworks = LOOPBACK_ONLY,
        incarnation: int,
        offers: Offers | None = None,
        bulk: BulkPath = UNBOUNDED,
        connections_max: int = limits.SERVER_CONNECTIONS_MAX,
        idle_timeout_s: float = limits.SERVER_IDLE_TIMEOUT_S,
        send_timeout_s: float = limits.SERVER_SEND_STEP_TIMEOUT_S,
    ) -> None:
        self.offers = offers or Offers()
        self._cache = cache
        self._incarnation = incarnation
        self._connections_max = connections_max
        self._idle_timeout_s = idle_timeout_s
        self._send_timeout_s = send_timeout_s
        self._lock = threading.Lock()  # guards _connections and _stopping
        self._connections: dict[ServedConnection, threading.Thread | None] = {}
        self._stopping = threading.Event()
        self._traffic = Traffic(bulk, self._stopping)
        self._trusted = trusted
        self._listener = _listen(host, port, trusted)
        bulk.congestion.apply(self._listener)  # so that the handshake's answer has it as well
        self.host, self.port = self._listener.getsockname()[:2]
        self._feeds = FeedLoop(self.offers, yield_to_others)
        self._watcher = threading.Thread(target=self._watch, name="cachd-peer-watch", daemon=True)
        self._watcher.start()
        self._reception = Reception(
            self._listener, self._admit, self._receive, self._ended, yield_to_others
        )

    @property
    def bytes_sent(self) -> int:
        """Bytes of chunks that have left."""
        return self._traffic.bytes_sent

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._connections)

    def stop(self) -> None:
        """Stop listening, cut every connection, wait for the threads. Idempotent."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._reception.stop()
        self._listener.close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now:
            connection.cut()
        for thread in (self._watcher, *open_now.values()):
            if thread is not None:
                thread.join()
        self._feeds.stop()

    def __enter__(self) -> PeerServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _admit(self, accepted: socket.socket, host: str) -> ServedConnection | None:
        connection = ServedConnection(
            accepted, self._cache, self.offers, self._incarnation, self._traffic
        )
        with self._lock:
            full = len(self._connections) >= self._connections_max
            admitted = self._trusted.include(host) and not full
            if admitted:
                self._connections[connection] = None
        try:
            if admitted:
                connection.greet()
                return connection
        except OSError:
            pass  # it was gone at once
        self._ended(connection)
        return None

    def _receive(self, connection: ServedConnection, wanted: Follow | Asked) -> None:
        if isinstance(wanted, Follow):
            self._feed(connection, wanted.digest)
        else:
            thread = threading.Thread(
                target=self._serve, args=(connection, wanted), name="cachd-peer-serve", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: ServedConnection, first: Asked) -> None:
        followed = connection.serve(first)
        if followed is None:
            self._ended(connection)
        else:
            self._feed(connection, followed)

    def _feed(self, connection: ServedConnection, digest: Digest) -> None:
        try:
            feed = connection.feed(digest)
        except OSError:  # the connection ended in the meantime
            self._ended(connection)
        else:
            self._feeds.add(feed, lambda: self._ended(connection))

    def _ended(self, connection: ServedConnection) -> None:
        with self._lock:
            self._connections.pop(connection, None)
        connection.close()

    def _watch(self) -> None:
        while not self._stopping.wait(limits.SERVER_WATCH_INTERVAL_S):
            now = time.monotonic()
            with self._lock:
                open_now = list(self._connections)
            for connection in open_now:
                allowed_s = self._send_timeout_s if connection.answering else self._idle_timeout_s
                if now - connection.progressed_s > allowed_s:
                    connection.cut()


def _listen(host: str, port: int, trusted: TrustedNetworks) -> socket.socket:
    _require_trusted(host, trusted)
    listener = socket.socket(family_of(host), socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PeerUnreachable(
            f"cannot listen for peers on {host}:{port}: {error.strerror}. Choose another port, or "
            "stop what uses it"
        ) from error
    return listener


def _require_trusted(host: str, trusted: TrustedNetworks) -> None:
    if not trusted.include(host):
        raise NotTrusted(
            f"refusing to serve chunks on {host!r}: no identities are configured, so anybody who "
            "reaches that address could read the models. Use 127.0.0.1, or declare the network of "
            "your hosts with --trust-network if all who reach it may read them"
        )
