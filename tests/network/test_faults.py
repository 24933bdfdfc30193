"""What goes wrong on networks, caused on real ones: hosts with links of 200 Mbit/s.

A fetch completes or tells precisely why not, nothing unverified is visible, memory is bounded.
"""

from __future__ import annotations

import pytest

from tests.network.region import SIZE, Region

pytestmark = pytest.mark.timeout(240)


@pytest.mark.slow
def test_a_region_takes_about_one_copy(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    found = region.whole(1, 2, 3, 4)
    assert sum(said["from_origin"] for said in found) < 1.2 * SIZE
    assert not any(said["complaints"] for said in found)


def test_a_node_that_joins_late_takes_it_from_its_peers(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3)
    region.wait_until_stored(1, 0.4)
    region.fetch(4)
    found = region.whole(1, 2, 3, 4)
    assert found[-1]["from_peers"] > 0.7 * SIZE
    assert sum(said["from_origin"] for said in found) < 1.3 * SIZE


@pytest.mark.slow
def test_a_killed_peer_is_done_without_and_goes_on_afterwards(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    region.wait_until_stored(4, 0.3)
    region.kill(4)
    region.whole(1, 2, 3)
    region.start(4)
    region.fetch(4)
    (again,) = region.whole(4)
    assert again["from_origin"] + again["from_peers"] < 0.9 * SIZE, "what was there is not fetched"


@pytest.mark.slow
def test_a_host_that_vanishes_without_a_word_is_done_without(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    region.wait_until_stored(4, 0.3)
    region.lab.unplug(4)
    region.whole(1, 2, 3)


def test_all_peers_go(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    region.wait_until_stored(1, 0.3)
    for node in (2, 3, 4):
        region.kill(node)
    (alone,) = region.whole(1)
    assert alone["from_origin"] > 0.5 * SIZE


def test_packets_are_lost(region: Region) -> None:
    region.lab.lose(5)
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    found = region.whole(1, 2, 3, 4)
    assert sum(said["from_origin"] for said in found) < 2 * SIZE


@pytest.mark.slow
def test_half_of_a_region_is_parted_and_healed(region: Region) -> None:
    """The half without the origin waits for it or for the others, and goes on."""
    region.start_origin()
    region.start(1, 2, 3, 4)
    region.fetch(1, 2, 3, 4)
    region.wait_until_stored(3, 0.2)
    region.lab.part(3, 4)
    region.whole(1, 2)
    region.lab.heal()
    parted = [region.outcome(node) for node in (3, 4)]
    failed = [node for node, said in zip((3, 4), parted, strict=True) if "error" in said]
    region.fetch(*failed)  # as a node does by itself, after a pause
    found = [said for said in parted if "error" not in said] + region.whole(*failed)
    assert all(said["sha256"] == region.version.sha256 for said in found)
    assert all(not said["visible"] for said in parted if "error" in said)


@pytest.mark.slow
def test_the_origin_is_down_before(region: Region) -> None:
    region.start(1, 2)
    region.fetch(1, 2)
    for node in (1, 2):
        said = region.outcome(node)
        assert "origin" in said["error"], said
        assert not said["visible"]
    region.start_origin()
    region.fetch(1, 2)
    region.whole(1, 2)


def test_the_origin_goes_down_meanwhile_and_comes_back(region: Region) -> None:
    region.start_origin()
    region.start(1, 2, 3)
    region.fetch(1, 2, 3)
    region.wait_until_stored(1, 0.3)
    region.kill(0)
    region.start_origin()
    region.whole(1, 2, 3)


@pytest.mark.slow
def test_the_origin_stays_down(region: Region) -> None:
    """What nobody has is named; what one has, all can have."""
    region.start_origin()
    region.start(1, 2)
    region.fetch(1)
    region.wait_until_stored(1, 0.3)
    region.kill(0)
    said = region.outcome(1)
    assert said["kind"] == "FetchFailed", said
    assert "chunks" in said["error"]
    assert "origin" in said["error"]
    assert not said["visible"]
    region.start_origin()
    region.fetch(1)
    region.whole(1)
    region.kill(0)
    region.fetch(2)
    (other,) = region.whole(2)
    assert other["from_peers"] == SIZE
