"""A full disk is told clearly, and what was verified is kept. A small tmpfs is filled for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.errors import CacheFull
from cachd.cache.verifier import verify
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

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
