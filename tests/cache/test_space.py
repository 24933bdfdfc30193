"""Bytes on the disk, as `du` would count them, through all that happens to a cache."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.errors import CacheNoRoom
from cachd.cache.quota import Quota
from cachd.cache.verifier import verify
from tests.cache.test_cache import FILES, content
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

BIG = {"weights.bin": random_bytes(40 * CHUNK, 9)}


def du(root: Path) -> int:
    """Blocks of distinct inodes below and at `root`."""
    found: dict[int, int] = {}
    for at, _, names in os.walk(root):
        for path in (Path(at), *(Path(at) / name for name in names)):
            state = path.lstat()
            found[state.st_ino] = state.st_blocks * 512
    return sum(found.values())


def settle(root: Path) -> None:
    """Have all files written back. Until then ext4 may count a block for a file's extents, which is
    free again once they lie side by side: du would see less than was measured a moment before."""
    for at, _, names in os.walk(root):
        for name in names:
            descriptor = os.open(Path(at) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def test_every_step_is_counted_and_a_start_counts_the_same(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    shared = random_bytes(4 * CHUNK, 1)
    versions = [
        make_version({"shared.bin": shared, "deep/own.bin": random_bytes(n * CHUNK + n, 10 + n)})
        for n in range(5)
    ]
    cache = Cache.open(tmp_path / "cache")
    for _ in range(60):
        manifest, chunks = rng.choice(versions)
        action = rng.choice(["fill", "fill", "begin", "some", "drop", "damage", "restart"])
        if action == "fill":
            fill(cache, manifest, chunks)
        elif action == "begin":
            cache.begin(manifest)
        elif action == "some":
            for chunk in cache.begin(manifest).missing[:2]:
                cache.store(verify(chunk, chunks[chunk.id]))
        elif action == "drop":
            cache.drop(manifest.digest)
        elif action == "damage":
            cache.condemn(rng.choice(list(chunks)))
        else:
            cache.close()
            cache = Cache.open(tmp_path / "cache")
        settle(tmp_path / "cache")
        assert cache.space.used() == du(tmp_path / "cache"), action
    cache.close()


def test_a_sparse_partial_counts_what_was_written_to_it(tmp_path: Path) -> None:
    manifest, chunks = make_version(BIG)
    with Cache.open(tmp_path) as cache:
        empty = cache.space.used()
        filling = cache.begin(manifest)
        assert cache.space.used() - empty < 4 * CHUNK
        for chunk in filling.missing[:10]:
            cache.store(verify(chunk, chunks[chunk.id]))
        assert 10 * CHUNK <= cache.space.used() - empty < 14 * CHUNK
        assert cache.space.used() == du(tmp_path)


def test_what_is_being_filled_has_its_room_set_aside(tmp_path: Path) -> None:
    one, _ = make_version(BIG)
    other, _ = make_version({"weights.bin": random_bytes(40 * CHUNK, 8)})
    with Cache.open(tmp_path, Quota(60 * CHUNK)) as cache:
        cache.begin(one)
        with pytest.raises(CacheNoRoom, match="needs .* bytes more, and .* are free"):
            cache.begin(other)
        assert not list((tmp_path / "partial").glob(f"{other.files[0].chunk_root.hex()}*"))
        cache.settle(one.digest)
        cache.begin(other)


def test_a_version_that_is_there_needs_no_room(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    with Cache.open(tmp_path, Quota(1)) as cache:
        assert cache.begin(manifest).missing == ()
        assert content(cache.publish(manifest)) == FILES


def test_a_full_filesystem_leaves_less_than_the_quota(tmp_path: Path) -> None:
    with Cache.open(tmp_path, Quota(2**62)) as cache:
        disk = os.statvfs(tmp_path)
        limit = cache.space.limit()
        assert limit is not None
        assert limit < disk.f_bavail * disk.f_frsize + cache.space.used()


def test_a_file_linked_from_outside_is_counted_until_that_link_is_gone(tmp_path: Path) -> None:
    manifest, chunks = make_version(BIG)
    root = tmp_path / "cache"
    with Cache.open(root) as cache:
        empty = cache.space.used()
        fill(cache, manifest, chunks)
        survey = cache.survey()
        assert sum(survey.freed_by.values()) >= 40 * CHUNK
        os.link(cache.publish(manifest) / "weights.bin", tmp_path / "mine.bin")
        survey = cache.survey()
        assert survey.outside >= 40 * CHUNK
        assert set(survey.freed_by.values()) == {0}, "to drop it frees nothing"
        cache.drop(manifest.digest)
        assert cache.space.used() - empty >= 40 * CHUNK
        assert cache.open_chunk(next(iter(chunks))) is None
    with Cache.open(root) as cache:
        assert cache.space.used() - empty >= 40 * CHUNK, "after a restart, too"
        assert cache.begin(manifest).missing == (), "and wanted again, it is there"
        cache.publish(manifest)
        cache.drop(manifest.digest)
        (tmp_path / "mine.bin").unlink()
        cache.tidy()
        assert cache.space.used() - empty < 4 * CHUNK
        assert cache.space.used() == du(root)


def test_a_damaged_file_that_is_shown_still_is_counted(tmp_path: Path) -> None:
    manifest, chunks = make_version(BIG)
    with Cache.open(tmp_path) as cache:
        empty = cache.space.used()
        fill(cache, manifest, chunks)
        cache.condemn(next(iter(chunks)))
        assert not list((tmp_path / "blobs").iterdir())
        assert cache.space.used() == du(tmp_path) > empty + 40 * CHUNK
    with Cache.open(tmp_path) as cache:
        assert cache.space.used() == du(tmp_path) > empty + 40 * CHUNK
        cache.drop(manifest.digest)
        assert cache.space.used() == du(tmp_path) < empty + 4 * CHUNK


def test_the_last_use_outlasts_a_restart(tmp_path: Path) -> None:
    versions = [make_version({"a": random_bytes(CHUNK, n)}) for n in range(3)]
    with Cache.open(tmp_path) as cache:
        for manifest, chunks in versions:
            fill(cache, manifest, chunks)
        for use_s, number in ((1e9, 2), (1.1e9, 0), (1.2e9, 1)):
            cache.touch(versions[number][0].digest, use_s)
    with Cache.open(tmp_path) as cache:
        order = [held.digest for held in sorted(cache.survey().held, key=lambda h: h.used_s)]
        assert order == [versions[number][0].digest for number in (2, 0, 1)]
