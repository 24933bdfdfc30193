"""A peer that does wrong beside one that does not: the version comes from the other, only the
culprit is blamed, and nothing unverified is kept. There is no origin to fall back to."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cachd import limits
from cachd.fetch.blame import judge_follow
from cachd.fetch.roster import Roster
from cachd.fetch.swarm import Swarm
from cachd.peer import protocol
from cachd.peer.directory import PeerAddress
from cachd.peer.errors import PeerUnreachable
from cachd.peer.protocol import GetChunk, Status
from registry_core.domain.identifiers import NodeId
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, fill, make_version, random_bytes
from tests.fetch.rig import SETTINGS, node
from tests.fetch.test_fetch import garbage, lying, too_much, wrong_bytes
from tests.fetch.test_plan import NODES, by_source, peer, planned, view
from tests.peer.rig import scripted_peer

ONE = {"weights.bin": random_bytes(40 * CHUNK, 5)}
ONE_BYTES = 40 * CHUNK
MANIFEST, CHUNKS = make_version(ONE)
PATIENT = dataclasses.replace(SETTINGS, stall_timeout_s=30.0)


def too_little(connection: socket.socket, request: GetChunk) -> None:
    header = protocol.encode_response_header(Status.OK, request.length - 1)
    connection.sendall(header + bytes(request.length - 1))


def another_chunk(connection: socket.socket, request: GetChunk) -> None:
    """A sound one of this version."""
    other = next(c for c in MANIFEST.unique_chunks if c != request.chunk_id)
    header = protocol.encode_response_header(Status.OK, request.length)
    connection.sendall(header + CHUNKS[other])


def a_byte_a_second(connection: socket.socket, request: GetChunk) -> None:
    connection.sendall(protocol.encode_response_header(Status.OK, request.length))
    for byte in CHUNKS[request.chunk_id]:
        connection.sendall(bytes([byte]))
        time.sleep(1)  # this slowness is what is tested


@pytest.mark.parametrize(
    "answer", [garbage, wrong_bytes, too_much, too_little, another_chunk, a_byte_a_second]
)
def test_only_the_culprit_is_blamed(
    tmp_path: Path, answer: Callable[[socket.socket, GetChunk], None]
) -> None:
    liar = lying(answer, len(MANIFEST.unique_chunks))
    with (
        scripted_peer(liar) as bad,
        node(tmp_path / "seed", None) as seed,
        node(tmp_path / "a", None, PATIENT) as one,
    ):
        fill(seed.cache, MANIFEST, CHUNKS)
        began_s = time.monotonic()
        report = one.fetch(MANIFEST, {}, [bad, seed.address])
        took_s = time.monotonic() - began_s
        assert content(one.cache.publish(MANIFEST)) == ONE
        assert one.cache.verify(MANIFEST) == []
    slow = answer is a_byte_a_second
    assert {c.source for c in report.complaints} == (set() if slow else {str(bad.node_id)})
    assert report.bytes_from_peers == ONE_BYTES
    print(f"{took_s:.1f} s")
    assert took_s < limits.PROGRESS_WINDOW_S * (2 if slow else 0.5), "it is waited for but once"


def test_who_failed_last_is_asked_only_for_what_nobody_else_can_give() -> None:
    failed, sound = peer(NODES[0], 0, 1, 2, failing=True), peer(NODES[1], 0, 1, slots_free=3)
    assert by_source(planned(view(3, failed, sound))) == {NODES[0]: {2}, NODES[1]: {0, 1}}


def test_a_peer_that_is_followed_again_is_believed_again(tmp_path: Path) -> None:
    """It promises the same as before the connection broke."""
    with node(tmp_path / "a", None) as one:
        swarm = Swarm(one.cache.begin(MANIFEST), {}, NodeId("a"), SETTINGS, 0.0)
    swarm.set_peers(Roster([PeerAddress(NODES[0], "127.0.0.1", 1)]), 0.0)
    maps = np.zeros(len(swarm.chunks), np.bool_), np.array([2, 3])
    for now_s in (1.0, 2.0):
        swarm.seen(NODES[0], 7, maps, now_s)
        assert swarm.view(now_s, 0).expected.nonzero()[0].tolist() == [2, 3]
        judge_follow(swarm, swarm.peers[NODES[0]], PeerUnreachable("the connection broke"), now_s)
        assert not swarm.view(now_s, 0).expected.any()


def test_a_peer_that_was_started_again_is_given_another_chance(tmp_path: Path) -> None:
    """Its incarnation, which each connection begins with, says that it is not the one that
    failed."""
    with node(tmp_path / "a", None) as one:
        swarm = Swarm(one.cache.begin(MANIFEST), {}, NodeId("a"), SETTINGS, 0.0)
    swarm.set_peers(Roster([PeerAddress(NODES[0], "127.0.0.1", 1)]), 0.0)
    swarm.seen(NODES[0], 7, None, 1.0)
    known = swarm.peers[NODES[0]]
    known.failures, known.retry_at_s = 4, 99.0
    swarm.seen(NODES[0], 7, None, 2.0)
    assert (known.failures, known.retry_at_s) == (4, 99.0), "it is the same one"
    swarm.seen(NODES[0], 8, None, 3.0)
    assert (known.failures, known.retry_at_s) == (0, 0.0)
