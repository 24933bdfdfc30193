"""A full disk is told clearly, and what was verified is kept. A small tmpfs is filled for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.errors import CacheFull, CacheNoRoom
from cachd.cache.quota import Quota
from cachd.cache.verifier import verify
from registry_core.origin.store import Origin
from tests.cache.test_cache import content
from tests.cache.test_space import du
from tests.cache.versions import CHUNK, fill, make_version, random_bytes
from tests.fetch.rig import node, put_packs

pytestmark = pytest.mark.root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small tmpfs")
    mounted = tmp_path / "small"
    mounted.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", mounted], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {made.stderr.decode().strip()}")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def test_filling_a_full_disk_says_so_and_can_be_resumed(small_disk: Path) -> None:
    files = {"weights.bin": random_bytes(20 * CHUNK, 1)}
    manifest, chunks = make_version(files)
    with Cache.open(small_disk) as cache:
        stored = 0

        def store_all() -> None:
            nonlocal stored
            for chunk in cache.begin(manifest).missing:
                cache.store(verify(chunk, chunks[chunk.id]))
                stored += 1

        with pytest.raises(CacheFull, match="drop versions"):
            store_all()
        assert 5 < stored < 20
        assert cache.published(manifest.digest) is None
    with Cache.open(small_disk) as cache:
        assert len(cache.begin(manifest).missing) == 20 - stored
        subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
        fill(cache, manifest, chunks)
        assert content(cache.publish(manifest)) == files


def test_a_fetch_that_meets_a_full_disk_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    """Somebody else fills the disk while a version comes."""
    files = {"weights.bin": random_bytes(20 * CHUNK, 1)}
    manifest, chunks = make_version(files)
    (tmp_path / "origin").mkdir()
    origin = Origin.open(f"file://{tmp_path / 'origin'}")
    locations = put_packs(origin, manifest, chunks)
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    ballast = small_disk / "somebody else's"
    ballast.write_bytes(bytes(4 * 2**20 - 8 * CHUNK))
    with node(small_disk / "n1", origin) as one:
        with pytest.raises(CacheFull, match="no space left .*fetch again"):
            one.fetch(manifest, locations)
        assert one.cache.published(manifest.digest) is None
        assert list((small_disk / "n1" / "blobs").iterdir()) == []
        assert du(small_disk / "n1") == one.cache.space.used()
        ballast.unlink()
        report = one.fetch(manifest, locations)
        assert 0 < report.bytes_from_origin < 20 * CHUNK, "what was there did not come again"
        assert content(one.cache.publish(manifest)) == files
        assert one.cache.verify(manifest) == []


def test_a_quota_counts_what_others_take_of_the_disk(small_disk: Path) -> None:
    """Refused before the first byte, instead of in the middle."""
    manifest, _ = make_version({"weights.bin": random_bytes(20 * CHUNK, 1)})
    with Cache.open(small_disk / "n1", Quota(2**40)) as cache:
        with pytest.raises(CacheNoRoom) as caught:
            cache.begin(manifest)
        assert caught.value.limit < 2**20
        assert list((small_disk / "n1" / "partial").iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
        assert len(cache.begin(manifest).missing) == 20
