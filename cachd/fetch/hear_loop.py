"""One thread that follows many peers: connects to them, and hears what they hold and push.

A thread for each would do little but wait, and fight for the interpreter when it wakes. Bytes are
received, hashed and written without the interpreter's lock. Whoever finds no room for a chunk
is parked: not listened to until there is some.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from cachd import limits
from cachd.fetch.events import ChunkPushed, Event, PeerTold
from cachd.fetch.incoming import Incoming, IncomingChunk
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerTooSlow, PeerUnreachable
from cachd.peer.following import Bitmap, Following
from cachd.peer.hearing import Hearing, Maps, Quiet, Unit
from cachd.peer.intake import Intake
from cachd.peer.poll_thread import PollThread
from cachd.peer.progress_window import ProgressWindow

_LOOK_S = 0.5
"""Between two looks for those that are too slow."""
_TAKE_S = 2.0
"""After which what has come of a chunk is taken, so that the peer is seen to move."""
_PARKED_LOOK_S = 0.02
_ROUND_S_MAX = 1.0
"""What a round takes longer was this node's own doing, and is not held against peers."""


class FollowedPeer:
    """A connection that is to be made, about a version of so many distinct chunks."""

    def __init__(self, connection: Following, chunks: int) -> None:
        self.connection = connection
        self.address = connection.address
        self.descriptor = connection.fileno()
        self.hearing = Hearing(connection, chunks)
        self.heard_s = self.taken_s = 0.0
        self.parked: Unit | None = None
        self.incoming: IncomingChunk | None = None
        self.window = ProgressWindow(limits.PROGRESS_WINDOW_S, 0.0)


class HearLoop:
    """`add` and `stop` may be called by any thread, all else belongs to the loop's own."""

    def __init__(
        self,
        incoming: Incoming,
        intake: Intake,
        tell: Callable[[Event], None],
        ended: Callable[[PeerAddress, Exception], None],
        prepare: Callable[[], None],
        held: Bitmap,
    ) -> None:
        self._incoming = incoming
        self._intake = intake
        self._held = held
        self._tell = tell
        self._ended = ended
        self._prepare = prepare
        self._step = intake.step_bytes(limits.RECEIVE_STEP)
        self._peers: dict[int, FollowedPeer] = {}
        self._parked: deque[FollowedPeer] = deque()
        self._now_s = self._read_s = time.monotonic()
        self._looked_s = self._now_s
        self._arriving: deque[FollowedPeer] = deque()
        self._thread: PollThread | None = None

    def add(self, peer: FollowedPeer) -> None:
        self._arriving.append(peer)
        if self._thread is None:
            self._thread = PollThread("cachd-hear", self._prepare, self._round, self._end)
            self._poller = self._thread.poller
            self._thread.start()
        self._poller.wake()

    def stop(self) -> None:
        """End all connections, and return when the thread has ended. Nothing is added meanwhile."""
        if self._thread is not None:
            self._thread.stop()

    def _end(self) -> None:
        for peer in (*self._arriving, *self._peers.values()):
            self._release(peer)
            peer.connection.close()

    def _round(self) -> None:
        ready, _ = self._poller.poll(_PARKED_LOOK_S if self._parked else _LOOK_S)
        for descriptor, _ in ready:
            peer = self._peers.get(descriptor)
            if peer is not None:
                self._with(peer, self._advance if peer.connection.all_said else self._speak)
        self._read_clock()
        while self._arriving:
            self._admit(self._arriving.popleft())
        for _ in range(len(self._parked)):
            self._with(self._parked.popleft(), self._unpark)
        if self._now_s - self._looked_s >= _LOOK_S:
            self._looked_s = self._now_s
            for peer in list(self._peers.values()):
                self._with(peer, self._require_life)

    def _read_clock(self) -> None:
        now_s = time.monotonic()
        self._now_s += min(now_s - self._read_s, _ROUND_S_MAX)
        self._read_s = now_s

    def _admit(self, peer: FollowedPeer) -> None:
        peer.heard_s = self._now_s
        self._peers[peer.descriptor] = peer
        self._poller.listen(peer.descriptor)
        self._poller.want_to_send(peer.descriptor, True)

    def _speak(self, peer: FollowedPeer) -> None:
        if peer.connection.speak(self._held):
            self._poller.want_to_send(peer.descriptor, False)
        peer.heard_s = self._now_s

    def _with(self, peer: FollowedPeer, act: Callable[[FollowedPeer], None]) -> None:
        try:
            act(peer)
        except Exception as error:  # handed to the coordinator, which judges it
            del self._peers[peer.descriptor]
            self._release(peer)
            self._poller.leave(peer.descriptor)
            peer.connection.close()
            self._ended(peer.address, error)

    def _release(self, peer: FollowedPeer) -> None:
        self._incoming.end(peer.address.node_id, peer.incoming)
        peer.incoming = None

    def _advance(self, peer: FollowedPeer) -> None:
        """Take what is there: messages, and one step of a chunk."""
        while peer.incoming is None:
            message = peer.hearing.hear()
            if message is None:
                return
            peer.heard_s = self._now_s
            match message:
                case Maps(held, claimed):
                    maps = held, claimed
                    self._tell(PeerTold(peer.address, peer.connection.incarnation, maps))
                case Quiet(known):
                    if not known:
                        self._tell(PeerTold(peer.address, peer.connection.incarnation, None))
                case Unit():
                    if not self._begin(peer, message):
                        peer.parked = message
                        self._parked.append(peer)
                        self._poller.leave(peer.descriptor)
                        return
        self._receive(peer, peer.incoming)

    def _begin(self, peer: FollowedPeer, unit: Unit) -> bool:
        peer.incoming = self._incoming.begin(unit, peer.address)
        peer.window = ProgressWindow(limits.PROGRESS_WINDOW_S, self._now_s)
        peer.taken_s = self._now_s
        return peer.incoming is not None

    def _unpark(self, peer: FollowedPeer) -> None:
        if peer.parked is not None and self._begin(peer, peer.parked):
            peer.parked = None
            self._poller.listen(peer.descriptor)
        else:
            self._parked.append(peer)

    def _receive(self, peer: FollowedPeer, chunk: IncomingChunk) -> None:
        with peer.connection.exchange():
            count = peer.connection.receive_now(chunk.rest(self._step))
        peer.taken_s = self._now_s
        if count:
            self._read_s += self._intake.take(count)  # its own limit's time is nobody's fault
        began_s = time.monotonic()
        whole = self._incoming.advance(chunk, count, peer.address.node_id)
        worked_s = time.monotonic() - began_s
        if whole:
            self._release(peer)
            peer.heard_s = self._now_s
            self._tell(ChunkPushed(peer.address, chunk.unit.number))
            peer.connection.wake_at(1)  # a message may be there already
        else:
            peer.connection.wake_at(len(chunk.rest(self._step)))
        self._read_s += self._intake.rest(worked_s)

    def _require_life(self, peer: FollowedPeer) -> None:
        silent_s = self._now_s - peer.heard_s
        if not peer.connection.connected:
            if silent_s > limits.CONNECT_TIMEOUT_S:
                raise PeerUnreachable(f"peer {peer.address} cannot be reached: it does not answer")
        elif not peer.hearing.greeted:
            if silent_s > limits.RECEIVE_TIMEOUT_S:
                raise PeerTooSlow(f"peer {peer.address} does not greet")
        elif peer.incoming is not None:
            self._require_progress(peer, peer.incoming)
        elif peer.parked is None and silent_s > limits.SILENCE_S_MAX:
            raise PeerTooSlow(f"peer {peer.address} has fallen silent")

    def _require_progress(self, peer: FollowedPeer, chunk: IncomingChunk) -> None:
        """What has come counts, not what the loop was woken for: over a slow link the rest of a
        chunk may be on its way for longer than a transfer may bring nothing."""
        judged = peer.window.ended(self._now_s)
        if judged or self._now_s - peer.taken_s >= _TAKE_S:
            self._receive(peer, chunk)
        if judged and peer.incoming is not None:
            least = self._intake.least_pushed_bytes
            with peer.connection.exchange():
                peer.connection.require_progress(peer.window, self._now_s, chunk.filled, least)
