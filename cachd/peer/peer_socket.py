"""One connection to a peer, whatever it is used for: bytes as they come, and what went wrong.

A connection belongs to one thread; only `cut` is for others. After an error with `broken` set the
connection is closed.
"""

from __future__ import annotations

import contextlib
import socket

from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerError, PeerMisbehaved, PeerTooSlow, PeerUnreachable
from cachd.peer.intake import Intake
from cachd.peer.progress_window import ProgressWindow
from cachd.peer.protocol import Malformed


class PeerSocket:
    """Over a socket that is connected, or about to be."""

    def __init__(self, address: PeerAddress, connection: socket.socket, intake: Intake) -> None:
        self.address = address
        self._socket = connection
        self._intake = intake
        self._wakes_at = 1

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        self._socket.close()

    def cut(self) -> None:
        """Make a call under way in another thread fail soon."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive_now(self, view: memoryview) -> int:
        """As many bytes into `view` as are there, at most all of it; 0 if none is."""
        try:
            count = self._socket.recv_into(view, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        if not count:
            raise PeerUnreachable(f"peer {self.address} ended the connection")
        return count

    def require_progress(
        self, window: ProgressWindow, now_s: float, filled: int, least: int
    ) -> None:
        """PeerTooSlow if a transfer, of which so many bytes are there, brings less than `least`
        bytes within a window."""
        brought = window.brought(now_s, filled)
        if brought is not None and brought < least:
            raise PeerTooSlow(f"peer {self.address} sent {brought} bytes in {window.seconds:g} s")

    def wake_at(self, count: int) -> None:
        """A poller sees this connection once so many bytes are there. A thread that is woken for
        every packet does little else on a slow link."""
        if count != self._wakes_at:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._wakes_at = count

    def exchange(self) -> _Exchange:
        """One step with the peer: errors translated, a broken connection closed."""
        return _Exchange(self)

    def spoilt(self, error: BaseException) -> BaseException:
        """What an exchange ended by; the connection is closed unless it is as good as before."""
        translated = self._translated(error)
        if not isinstance(translated, PeerError) or translated.broken:
            self.close()
        return translated

    def _translated(self, error: BaseException) -> BaseException:
        match error:
            case Malformed():
                return PeerMisbehaved(f"peer {self.address} does not speak the protocol: {error}")
            case BlockingIOError():
                return PeerTooSlow(f"peer {self.address} does not take a request")
            case OSError():
                return PeerUnreachable(f"peer {self.address}: {error.strerror or error}")
            case _:
                return error


class _Exchange:
    """A class rather than a generator: there are several for each step of a chunk."""

    __slots__ = ("_peer",)

    def __init__(self, peer: PeerSocket) -> None:
        self._peer = peer

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: object,
    ) -> None:
        if error is not None:
            translated = self._peer.spoilt(error)
            if translated is not error:
                raise translated from error
