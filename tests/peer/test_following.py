"""What a follower says, over a socket that takes little at once."""

from __future__ import annotations

import select
import socket
import threading

from cachd import limits
from cachd.peer.following import Following
from cachd.peer.intake import Intake
from cachd.peer.protocol import Follow, Held
from registry_core.domain.identifiers import Digest
from tests.peer.rig import address, greet, read_request, scripted_peer

DIGEST = Digest(bytes(32))


def test_what_is_held_is_told_first_however_much_it_is() -> None:
    """Of a version with as many chunks as there may be, each place of the bitmap its own."""
    held = bytes(1 + place % 255 for place in range(limits.HAVE_BITMAP_MAX))
    heard, go, whole = bytearray(), threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        greet(connection)
        assert go.wait(20)
        while isinstance(told := read_request(connection), Held):
            assert told.first == 8 * len(heard)
            heard.extend(told.bitmap)
        assert told == Follow(DIGEST)
        assert read_request(connection) == Held(8, b"\x20")
        whole.set()

    with scripted_peer(script) as peer, socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        narrow.connect((peer.host, peer.port))
        narrow.setblocking(False)
        following = Following(address(peer.port), narrow, Intake(), DIGEST, 1)
        assert not following.speak(lambda: held)
        following.tell_held_at_once(5)  # it would garble the others here
        assert following.connected
        assert not following.all_said
        go.set()
        while not following.speak(lambda: b"what is held by now was told"):
            assert select.select([], [narrow], [], 10)[1], "the peer takes nothing"
        assert select.select([], [narrow], [], 10)[1], "what was said last may fill it still"
        following.tell_held_at_once(13)
        assert whole.wait(20)
    assert heard == held
