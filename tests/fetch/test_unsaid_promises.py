"""A peer that is in the midst of a chunk cannot say what it is going to push next."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np

from cachd.fetch.report import Progress
from cachd.fetch.roster import Roster
from cachd.fetch.settings import FetchSettings
from cachd.fetch.swarm import Swarm
from cachd.peer.directory import PeerAddress
from cachd.peer.protocol import GetChunk
from registry_core.domain.identifiers import NodeId
from tests.cache.versions import CHUNK, make_version, random_bytes
from tests.fetch.rig import node
from tests.peer.rig import greet, maps_message, read_request, scripted_peer, unit_message

MANIFEST, CHUNKS = make_version({"weights": random_bytes(2 * CHUNK, 7)})
FIRST, SECOND = (CHUNKS[chunk_id] for chunk_id in MANIFEST.unique_chunks)
SETTINGS = FetchSettings(progress_s=0.05)
NONE, ONE, TWO, BOTH = (bytes([bits]) for bits in (0, 1, 2, 3))
OWNER, OTHER = NodeId("owner"), NodeId("other")


def test_who_holds_it_already_is_not_asked_for_it(tmp_path: Path) -> None:
    """While the owner's first chunk comes, another has been sent the second: it is on its way
    here too, and would come twice."""
    amid, told, planned = threading.Event(), threading.Event(), threading.Event()
    asked: list[GetChunk] = []

    def owner(connection: socket.socket) -> None:
        greet(connection)
        read_request(connection)
        said = maps_message(ONE, ONE) + unit_message(0, FIRST)
        connection.sendall(said[: -CHUNK // 2])
        amid.set()
        planned.wait(20)
        connection.sendall(said[-CHUNK // 2 :])
        connection.sendall(maps_message(BOTH, TWO) + unit_message(1, SECOND))
        while connection.recv(1024):
            pass

    def other(connection: socket.socket) -> None:
        greet(connection)
        while True:
            request = read_request(connection)
            if isinstance(request, GetChunk):
                asked.append(request)
                return
            connection.sendall(maps_message(NONE, NONE))
            amid.wait(20)
            connection.sendall(maps_message(TWO, NONE))
            told.set()

    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        if told.is_set():
            seen.append(progress)
        if len(seen) == 10:  # half a second, in which it planned several times
            planned.set()

    with (
        scripted_peer(owner) as first,
        scripted_peer(other) as second,
        node(tmp_path / "a", None, SETTINGS) as one,
    ):
        peers = [
            PeerAddress(OWNER, first.host, first.port),
            PeerAddress(OTHER, second.host, second.port),
        ]
        report = one.fetcher.fetch(MANIFEST, {}, lambda: peers, on_progress=on_progress)
        assert report.bytes_from_peers == 2 * CHUNK
    assert planned.is_set()
    assert asked == []


def test_what_a_peer_held_before_is_asked_for_at_once(tmp_path: Path) -> None:
    """Nobody pushes what was there before: another version's chunks, or a seed's."""
    with node(tmp_path / "a", None) as one:
        swarm = Swarm(one.cache.begin(MANIFEST), {}, NodeId("a"), SETTINGS, 0.0)
    swarm.set_peers(Roster([PeerAddress(name, "127.0.0.1", 1) for name in (OWNER, OTHER)]), 0.0)
    nothing = np.zeros(0, np.intp)
    swarm.seen(OWNER, 1, (np.array([True, False]), nothing), 1.0)
    swarm.seen(OTHER, 1, (np.array([True, False]), nothing), 2.0)
    coming_s = {OTHER: 0.5}
    assert not swarm.view(2.1, 0, coming_s).expected.any(), "each said so as soon as it was asked"
    swarm.seen(OTHER, 1, (np.array([True, True]), nothing), 2.5)
    assert swarm.view(2.6, 0, coming_s).expected.tolist() == [False, True]
    assert not swarm.view(2.6, 0, {}).expected.any()
