"""Bit rot is found on the disk itself, and mended beside those who have the old file open."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.salvage import salvage
from cachd.cache.scrub import damaged_chunks
from cachd.cache.verifier import verify
from tests.cache.filesystems import MIB, mounted, rot
from tests.cache.in_memory import forget, held, resident_fraction
from tests.cache.test_cache import _flip, content
from tests.cache.test_space import du, settle
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

FILES = {"config.json": b"{}", "weights.bin": random_bytes(9 * CHUNK + 1234, 3)}
GO_ON = threading.Event()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    with mounted("ext4", tmp_path, 64 * MIB) as found:
        yield found


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 10_007, 4096])
def test_every_flipped_bit_is_found_where_it_is(tmp_path: Path, chunk_bytes: int) -> None:
    manifest, chunks = make_version(FILES, chunk_bytes)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    weights = manifest.files[1]
    blob = tmp_path / "blobs" / weights.chunk_root.hex()
    assert damaged_chunks(blob, weights.chunks, GO_ON) == []
    last = len(weights.chunks) - 1
    for position, offset in ((0, 0), (last, weights.size - 1), (2, 2 * chunk_bytes)):
        _flip(blob, offset)
        assert damaged_chunks(blob, weights.chunks, GO_ON) == [position]
        _flip(blob, offset)
    blob.chmod(0o644)
    os.truncate(blob, weights.size - 1)
    assert damaged_chunks(blob, weights.chunks, GO_ON) == [last]
    with pytest.raises(FileNotFoundError):
        damaged_chunks(tmp_path / "gone", weights.chunks, GO_ON)


@pytest.mark.root
def test_rot_beneath_sound_pages_is_found_and_mended_from_them(disk: tuple[Path, Path]) -> None:
    """What is served comes from memory and is sound: a read of the file would find nothing."""
    place, image = disk
    manifest, chunks = make_version(FILES)
    weights = manifest.files[1]
    with Cache.open(place / "cache") as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
        os.sync()
        with held(folder):
            rot(image, FILES["weights.bin"][CHUNK : CHUNK + 4096], 5)
            assert content(folder) == FILES
        assert resident_fraction(folder) == 1.0
        assert cache.scrub(weights.chunk_root, GO_ON) == 1
        assert resident_fraction(folder) == 1.0, "what is served stays in memory"
        filling = cache.begin(manifest)
        assert salvage(cache, filling) == weights.size, "all of it was in memory"
        cache.mend(manifest)
        os.sync()
        assert cache.scrub(weights.chunk_root, GO_ON) == 0
        assert content(folder) == FILES
        assert cache.space.used() == du(place / "cache")


@pytest.mark.root
def test_scrubbing_brings_nothing_into_memory(disk: tuple[Path, Path]) -> None:
    place, _ = disk
    manifest, chunks = make_version(FILES)
    with Cache.open(place / "cache") as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
        forget(folder / "weights.bin")
        assert cache.scrub(manifest.files[1].chunk_root, GO_ON) == 0
        assert resident_fraction(folder / "weights.bin") == 0.0


def test_whoever_has_the_damaged_file_open_keeps_it(tmp_path: Path) -> None:
    manifest, chunks = make_version({**FILES, "copy/weights.bin": FILES["weights.bin"]})
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
        with (folder / "weights.bin").open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        _flip(folder / "weights.bin", 3 * CHUNK + 7)
        before = bytes(mapped)
        assert cache.scrub(manifest.files[1].chunk_root, GO_ON) == 1
        assert cache.open_chunk(manifest.files[1].chunks[0].id) is None, "no source any more"
        filling = cache.begin(manifest)
        assert len(filling.missing) == 10
        assert salvage(cache, filling) == len(FILES["weights.bin"]) - CHUNK
        (missing,) = cache.begin(manifest).missing
        cache.store(verify(missing, chunks[missing.id]))
        assert cache.mend(manifest) == folder
        assert bytes(mapped) == before, "the old mapping is what it was"
        expected = {**FILES, "copy/weights.bin": FILES["weights.bin"]}
        assert content(folder) == expected
        assert [path.name for path in (tmp_path / "condemned").iterdir()] == []
        assert all(path.stat().st_mode & 0o222 == 0 for path in [folder, *folder.rglob("*")])
        assert cache.space.used() == du(tmp_path)
    with Cache.open(tmp_path) as cache:
        assert cache.begin(manifest).missing == ()


def test_a_mend_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    """The new file is there, the directory shows the old one still."""
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
        _flip(folder / "weights.bin", 5)
        cache.scrub(manifest.files[1].chunk_root, GO_ON)
        for chunk in cache.begin(manifest).missing:
            cache.store(verify(chunk, chunks[chunk.id]))
        cache.publish(manifest)
    settle(tmp_path)
    with Cache.open(tmp_path) as cache:
        assert cache.space.used() == du(tmp_path)
        assert content(folder) != FILES
        assert cache.verify(manifest) == ["weights.bin"]
        assert cache.begin(manifest).missing == ()
        cache.mend(manifest)
        assert content(folder) == FILES
        assert cache.space.used() == du(tmp_path)


def test_it_stops_when_told(tmp_path: Path) -> None:
    manifest, chunks = make_version({"weights.bin": bytes(4 * CHUNK) + random_bytes(CHUNK, 1)})
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    weights, stop = manifest.files[0], threading.Event()
    stop.set()
    blob = tmp_path / "blobs" / weights.chunk_root.hex()
    _flip(blob, 0)
    assert damaged_chunks(blob, weights.chunks, stop) == []
