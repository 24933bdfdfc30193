"""Bytes brought into memory, hashed on the way where the disk is not to be trusted."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from cachd.cache.cache import Cache
from cachd.cache.populate import populate, populate_verified, resident_fraction
from tests.cache.test_cache import FILES
from tests.cache.versions import CHUNK, fill, make_version, random_bytes


def _evict(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def test_populated_bytes_are_resident(tmp_path: Path) -> None:
    manifest, chunks = make_version({"big.bin": random_bytes(100 * CHUNK, 7), **FILES})
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
    _evict(folder)
    assert resident_fraction(folder) < 0.5
    assert populate(folder) == sum(f.size for f in manifest.files)
    assert resident_fraction(folder) == 1.0
    assert resident_fraction(folder / "empty") == 1.0


def test_damage_is_found_while_populating(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
    assert populate_verified(manifest, folder) == []
    for path, size in (("zeros.bin", None), ("same-1.bin", 5), ("config.json", 0)):
        target = folder / path
        target.chmod(0o644)
        with target.open("r+b") as file:
            if size is None:
                file.seek(4 * CHUNK)
                file.write(b"\1")
            else:
                file.truncate(size)
    (folder / "deep/er/and/deeper/weights.bin").unlink()
    assert populate_verified(manifest, folder) == [
        "config.json",
        "deep/er/and/deeper/weights.bin",
        "same-1.bin",
        "same-2.bin",
        "zeros.bin",
    ]


def test_cancelling_ends_it(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
    cancel = threading.Event()
    cancel.set()
    assert populate(folder, cancel) == 0
    assert populate_verified(manifest, folder, cancel) == []
