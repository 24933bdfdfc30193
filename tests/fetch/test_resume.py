"""kill -9 of a fetching process: the next one goes on, and believes nothing unverified."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from cachd.cache.cache import Cache
from cachd.fetch.fetcher import Fetcher
from cachd.fetch.report import Progress
from registry_core.domain.identifiers import NodeId
from registry_core.origin.store import Origin
from tests.cache.versions import make_version, random_bytes
from tests.fetch.rig import SETTINGS, put_packs

SIZE = 48 << 20
CHUNK = 1 << 20
ROUNDS = 3


def fetch_and_tell(root: str, origin_url: str) -> None:
    """What the killed process does: one line for each progress."""
    manifest, chunks = make_version({"weights.bin": random_bytes(SIZE, 11)}, CHUNK)
    origin = Origin.open(origin_url)
    places = put_packs(None, manifest, chunks)

    def tell(progress: Progress) -> None:
        print(progress.bytes_done, flush=True)

    with Cache.open(root) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        Fetcher(cache, origin, NodeId("a"), 1, SETTINGS).fetch(
            manifest, places, list, on_progress=tell
        )


def test_a_killed_fetch_is_resumed(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    rng = random.Random(seed)
    origin = Origin.open(f"file://{tmp_path / 'origin'}")
    manifest, chunks = make_version({"weights.bin": random_bytes(SIZE, 11)}, CHUNK)
    places = put_packs(origin, manifest, chunks)
    for _ in range(ROUNDS):
        root = tmp_path / f"node-{rng.randrange(1 << 30)}"
        _fetch_until(root, origin.url, rng.randrange(CHUNK, SIZE // 2))
        with Cache.open(root) as cache:
            filling = cache.begin(manifest)
            print(f"{filling.bytes_there} bytes were kept")
            assert filling.bytes_there > 0
            for chunk_id in manifest.unique_chunks:
                found = cache.open_chunk(chunk_id)
                if found is not None:
                    data = os.pread(found.descriptor, found.length, found.offset)
                    os.close(found.descriptor)
                    assert data == chunks[chunk_id]
            report = Fetcher(cache, origin, NodeId("a"), 1, SETTINGS).fetch(manifest, places, list)
            assert report.bytes_from_origin == SIZE - filling.bytes_there
            cache.publish(manifest)
            assert cache.verify(manifest) == []


def _fetch_until(root: Path, origin_url: str, bytes_done: int) -> None:
    """Run a fetch in another process, and kill it once it has told of `bytes_done`."""
    code = (
        f"from tests.fetch.test_resume import fetch_and_tell as f; f({str(root)!r}, {origin_url!r})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"go\n")
        process.stdin.flush()
        for line in process.stdout:
            if int(line) >= bytes_done:
                break
        process.send_signal(signal.SIGKILL)
