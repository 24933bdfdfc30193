"""Chunks of a sibling version share its blocks where the filesystem can do that, and are verified
in the new file all the same."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache, Filling
from cachd.cache.scrub import damaged_chunks
from cachd.cache.verifier import verify
from registry_core.domain.manifest import Manifest, ModelFile
from registry_core.origin.store import Origin
from tests.cache.filesystems import MIB, mounted, rot
from tests.cache.in_memory import held, resident_fraction
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, Chunks, chunk_of, fill, make_version, random_bytes
from tests.fetch.rig import node, put_packs

BODY = random_bytes(40 * CHUNK, 1)
CHANGED = bytes([BODY[0] ^ 1]) + BODY[1:]


def buffer() -> memoryview:
    return memoryview(bytearray(CHUNK))


def clone_all(cache: Cache, manifest: Manifest) -> tuple[Filling, list[bool]]:
    filling = cache.begin(manifest)
    return filling, [cache.clone(chunk, buffer()) for chunk in filling.missing]


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    with mounted("xfs", tmp_path, 320 * MIB) as found:
        yield found


def siblings(
    header: bytes = b"", chunk_bytes: int = CHUNK
) -> tuple[tuple[Manifest, Chunks], tuple[Manifest, Chunks]]:
    """Two versions of one file, which differ in one chunk."""
    return (
        make_version({"weights.bin": header + BODY}, chunk_bytes),
        make_version({"weights.bin": header + CHANGED}, chunk_bytes),
    )


def free_bytes(place: Path) -> int:
    os.sync()
    state = os.statvfs(place)
    return state.f_bavail * state.f_frsize


@pytest.mark.root
def test_a_sibling_version_takes_only_what_differs(xfs: tuple[Path, Path], tmp_path: Path) -> None:
    (first, chunks), (second, more) = siblings()
    (tmp_path / "origin").mkdir()
    origin = Origin.open(f"file://{tmp_path / 'origin'}")
    with node(xfs[0] / "n1", origin) as one:
        fill(one.cache, first, chunks)
        before = free_bytes(xfs[0])
        report = one.fetch(second, put_packs(origin, second, more))
        assert report.bytes_local == 39 * CHUNK
        assert content(one.cache.publish(second))["weights.bin"] == CHANGED
        assert one.cache.verify(second) == []
        assert content(one.cache.publish(first))["weights.bin"] == BODY
        assert before - free_bytes(xfs[0]) < 10 * CHUNK, "the rest is shared"


@pytest.mark.root
def test_chunks_that_begin_within_a_block_share_their_inner_blocks(xfs: tuple[Path, Path]) -> None:
    """As tensors do: after a header, at any offset."""
    (first, chunks), (second, more) = siblings(b"h" * 1234, 10_007)
    with Cache.open(xfs[0]) as cache:
        fill(cache, first, chunks)
        _, cloned = clone_all(cache, second)
        assert cloned[1:-1] == [True] * 261
        assert [cloned[0], cloned[-1]] == [False, False], "it differs; it has no whole block"
        fill(cache, second, more)
        assert content(cache.publish(second))["weights.bin"] == b"h" * 1234 + CHANGED
        assert content(cache.publish(first))["weights.bin"] == b"h" * 1234 + BODY


@pytest.mark.root
def test_other_offsets_are_copied(xfs: tuple[Path, Path]) -> None:
    first, chunks = make_version({"weights.bin": BODY})
    moved = (chunk_of(b"1234567"), first.files[0].chunks[0])
    second = Manifest.build([ModelFile("moved.bin", 7 + CHUNK, bytes(32), moved)])
    with Cache.open(xfs[0]) as cache:
        fill(cache, first, chunks)
        _, cloned = clone_all(cache, second)
        assert cloned == [False, False]


@pytest.mark.root
def test_blocks_that_have_rotted_beneath_sound_pages_are_not_taken_over(
    xfs: tuple[Path, Path],
) -> None:
    place, image = xfs
    (first, chunks), (second, _) = siblings()
    with Cache.open(place) as cache:
        fill(cache, first, chunks)
        folder = cache.publish(first)
        os.sync()
        with held(folder):
            rot(image, BODY[7 * CHUNK : 7 * CHUNK + 4096], 9)
            assert content(folder)["weights.bin"] == BODY, "memory is sound"
            assert resident_fraction(folder) == 1.0
        filling, cloned = clone_all(cache, second)
        refused = [c for c, ok in zip(filling.missing, cloned, strict=True) if not ok]
        seventh = first.files[-1].chunks[7]
        assert seventh in refused
        cache.store(verify(seventh, chunks[seventh.id]))
        partial = place / "partial" / second.files[-1].chunk_root.hex()
        os.sync()
        assert damaged_chunks(partial, second.files[-1].chunks, threading.Event()) == [0], (
            "not there yet"
        )


@pytest.mark.root
def test_a_filesystem_that_cannot_share_is_told_to_copy(tmp_path: Path) -> None:
    (first, chunks), (second, more) = siblings()
    with mounted("ext4", tmp_path, 64 * MIB) as (place, _), Cache.open(place / "cache") as cache:
        fill(cache, first, chunks)
        filling, cloned = clone_all(cache, second)
        assert len(filling.local) == 39
        assert not any(cloned)
        fill(cache, second, more)
        assert cache.verify(second) == []
