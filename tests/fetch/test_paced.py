"""Whole fetches that stand back for requests: each chunk is followed by a rest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cachd.cache.pace import Pace
from cachd.peer.intake import Intake
from registry_core.origin.store import Origin
from tests.cache.asked import Asked
from tests.cache.versions import fill, make_version, random_bytes
from tests.fetch.rig import Node, node, put_packs
from tests.fetch.test_fetch import in_threads

MIB = 1 << 20
FILES = {"weights.bin": random_bytes(4 * MIB, 23)}
MANIFEST, CHUNKS = make_version(FILES, chunk_bytes=MIB // 4)
COUNT = len(MANIFEST.unique_chunks)


def content(node: Node) -> bytes:
    return (node.cache.publish(MANIFEST) / "weights.bin").read_bytes()


def test_from_the_origin(tmp_path: Path) -> None:
    origin, asked = Origin.open(f"file://{tmp_path / 'origin'}"), Asked()
    places = put_packs(origin, MANIFEST, CHUNKS)
    with node(tmp_path / "a", origin, pace=Pace(0.5, asked)) as one:
        one.fetch(MANIFEST, places)
        assert content(one) == FILES["weights.bin"]
    assert asked.times >= COUNT


def test_a_rest_holds_up_what_comes_next() -> None:
    """Which is then neither late nor at a standstill, whether it was asked for or pushed."""
    for rests in (True, False):
        intake = Intake(pace=Pace(0.5, lambda rests=rests: rests))
        with intake.piece():
            assert not intake.held_up_s
        assert bool(intake.held_up_s) == rests


def test_from_a_peer_and_from_files_that_are_here(tmp_path: Path) -> None:
    longer = {"weights.bin": FILES["weights.bin"] + random_bytes(MIB, 24)}
    sibling, pieces = make_version(longer, chunk_bytes=MIB // 4)
    asked = Asked()
    with (
        node(tmp_path / "seed", None) as seed,
        node(tmp_path / "b", None, pace=Pace(0.5, asked)) as other,
    ):
        fill(seed.cache, MANIFEST, CHUNKS)
        other.fetch(MANIFEST, {}, [seed.address])
        assert content(other) == FILES["weights.bin"]
        assert asked.times >= COUNT
        asked.times = 0
        fill(seed.cache, sibling, pieces)
        report = other.fetch(sibling, {}, [seed.address])
        assert (report.bytes_from_peers, report.bytes_local) == (MIB, 4 * MIB)
        assert asked.times >= len(sibling.unique_chunks)


def test_pushed(tmp_path: Path) -> None:
    """By each of two to the other."""
    origin, asked = Origin.open(f"file://{tmp_path / 'origin'}"), (Asked(), Asked())
    places = put_packs(origin, MANIFEST, CHUNKS)
    with (
        node(tmp_path / "a", origin, pace=Pace(0.5, asked[0])) as one,
        node(tmp_path / "b", origin, pace=Pace(0.5, asked[1])) as two,
    ):
        both = [one.address, two.address]
        reports = in_threads([partial(each.fetch, MANIFEST, places, both) for each in (one, two)])
        assert sum(report.bytes_from_peers for report in reports) > 0
        assert content(one) == content(two) == FILES["weights.bin"]
    assert all(each.times >= COUNT for each in asked)
    assert not any(report.complaints for report in reports)
