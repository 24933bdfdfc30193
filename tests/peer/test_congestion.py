"""Congestion control on both ends of real connections between peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.peer.bulk_path import BulkPath
from cachd.peer.client import PeerConnection
from cachd.peer.congestion import CongestionControl, name_of
from cachd.peer.intake import Intake
from cachd.peer.server import PeerServer
from registry_core.errors import InvalidInput
from tests.peer.rig import address, wait_until

KERNELS = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
OTHER = "reno" if KERNELS != "reno" else "cubic"  # every kernel has reno


def ends(tmp_path: Path, bulk: BulkPath) -> set[str]:
    """What the listener, the accepted and the connecting socket have."""
    with (
        Cache.open(tmp_path / "cache") as cache,
        PeerServer(cache, incarnation=1, bulk=bulk) as server,
        PeerConnection(address(server.port), intake=Intake(bulk)) as peer,
    ):
        wait_until(lambda: server.connections == 1, "accepting")
        accepted = next(iter(server._connections))
        return {name_of(one) for one in (server._listener, accepted._socket, peer._socket)}


def test_what_is_asked_for_is_set_on_both_ends(tmp_path: Path) -> None:
    asked = CongestionControl.parse(OTHER)
    assert asked.used() == OTHER
    assert ends(tmp_path, BulkPath(congestion=asked)) == {OTHER}


def test_by_default_the_kernel_chooses(tmp_path: Path) -> None:
    assert CongestionControl.parse("").used() == KERNELS
    assert ends(tmp_path, BulkPath()) == {KERNELS}


@pytest.mark.parametrize(
    "name", ["fastest", "cubic ", "a-name-that-is-too-long-for-linux", "b\u00e4r"]
)
def test_what_the_kernel_lacks_is_told(name: str) -> None:
    with pytest.raises(InvalidInput, match="tcp_available_congestion_control"):
        CongestionControl.parse(name)
