"""kill -9 while a process fills, publishes and drops: versions are whole or absent, always."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from tests.cache.test_cache import content
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

FILES = {f"part-{n}/weights.bin": random_bytes(4 * CHUNK + n, n) for n in range(12)}
KILLS = 12


def cycle_for_ever(root: str) -> None:
    """What the killed process does."""
    manifest, chunks = make_version(FILES)
    with Cache.open(root) as cache:
        print("ready", flush=True)
        while True:
            fill(cache, manifest, chunks)
            print("published", flush=True)
            cache.drop(manifest.digest)


@pytest.mark.slow
def test_versions_are_whole_or_absent_after_kill(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    rng = random.Random(seed)
    manifest, chunks = make_version(FILES)
    visible = partial = 0
    for _ in range(KILLS):
        _run_and_kill(tmp_path, rng.uniform(0, 0.08))
        folder = tmp_path / "versions" / manifest.digest.hex
        if folder.exists():
            visible += 1
            assert content(folder) == FILES
        with Cache.open(tmp_path) as cache:
            assert not list((tmp_path / "tmp").iterdir())
            held = cache.begin(manifest)
            partial += 0 < len(held.missing) < len(manifest.unique_chunks)
            for chunk_id in manifest.unique_chunks:
                _assert_sound(cache, chunk_id, chunks)
            fill(cache, manifest, chunks)
            assert content(cache.publish(manifest)) == FILES
            assert cache.verify(manifest) == []
            cache.drop(manifest.digest)
    print(f"killed {KILLS} times: {visible} with a visible version, {partial} partly filled")


def _run_and_kill(root: Path, after_s: float) -> None:
    code = f"from tests.cache.test_kill import cycle_for_ever; cycle_for_ever({str(root)!r})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_s)  # not for luck: the instant of the kill is what is random here
        process.send_signal(signal.SIGKILL)


def _assert_sound(cache: Cache, chunk_id: object, chunks: object) -> None:
    found = cache.open_chunk(chunk_id)  # type: ignore[arg-type]  # ids of this version
    if found is not None:
        data = os.pread(found.descriptor, found.length, found.offset)
        os.close(found.descriptor)
        assert data == chunks[chunk_id]  # type: ignore[index]  # and their bytes
