"""Which versions this process holds: the list that a daemon hears at attach, and every ending.

A `Lease` ends when its last reference does, so a finalizer reports it: in any thread, at any
instant, perhaps inside a garbage collection. Hence no lock here at all; deque and dict operations
are atomic, and the wake-up is one write to an eventfd that stays open while anyone can write it.
"""

from __future__ import annotations

import os
from collections import deque

from cachd.serve.from_worker import Held, Released
from cachd.serve.tally import Tallies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cachd.serve.from_worker import Message
    from cachd.serve.tally import Tally


class Waker:
    """Wakes the link thread. Closed by its own end of life: whoever can still write to it keeps it
    open, and in a cycle that is collected as a whole it may be the first to go."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wake(self) -> None:
        if self.fd < 0:
            return
        try:
            os.eventfd_write(self.fd, 1)
        except BlockingIOError:
            return  # 2**64 - 2 wake-ups are waiting: one more is none

    def clear(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1
        if fd >= 0:
            close(fd)


class Lease:
    """A hold on one prepared handle. Kept by everything that may still use the version."""

    __slots__ = ("_book", "digest", "handle")

    def __init__(self, book: LeaseBook, handle: int, digest: str) -> None:
        self._book = book
        self.handle = handle
        self.digest = digest

    def tally(self) -> Tally:
        """Where requests that the version answered are observed."""
        return self._book.tallies.of(self.handle)

    def __del__(self) -> None:
        self._book.ended(self.handle, id(self))


class LeaseBook:
    """The live leases of one attachment, and its messages that wait to be sent, in order."""

    def __init__(self) -> None:
        self.waker = Waker()
        self.tallies = Tallies(self.waker.wake)
        self._waiting: deque[Message] = deque()
        # By handle: the lease's id and digest, and whether it is ready. No reference to the lease.
        self._live: dict[int, tuple[int, str, bool]] = {}

    def open(self, handle: int, digest: str) -> Lease:
        lease = Lease(self, handle, digest)
        self._live[handle] = (id(lease), digest, False)
        return lease

    def ready(self, lease: Lease) -> None:
        """The lease's version is loaded and warm from here on."""
        if self._live.get(lease.handle, (0,))[0] == id(lease):
            self._live[lease.handle] = (id(lease), lease.digest, True)

    def ended(self, handle: int, lease_id: int) -> None:
        """From a finalizer. A lapsed lease, or one whose handle is another's now, says nothing."""
        if self._live.get(handle, (0,))[0] == lease_id:
            del self._live[handle]
            self.send(Released(handle))

    def send(self, message: Message) -> None:
        """Queue a message; safe from any thread and any finalizer."""
        self._waiting.append(message)
        self.waker.wake()

    def waits(self) -> bool:
        """Whether messages wait to be sent."""
        return bool(self._waiting)

    def lives(self, handle: int) -> bool:
        return handle in self._live

    def next_message(self) -> Message | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def announce(self) -> list[Held]:
        """All that is held, for a new connection, to which older messages would mean nothing.

        Forgets those first: a lease that ends in between is then told to the new connection,
        which ignores handles it has not heard of."""
        self._waiting.clear()
        live = self._live.copy()
        return [Held(handle, digest, ready) for handle, (_, digest, ready) in live.items()]

    def lapse_all_but(self, adopted: frozenset[int]) -> None:
        """The daemon knows only these: all others end in silence."""
        for handle in list(self._live):
            if handle not in adopted:
                self._live.pop(handle, None)
