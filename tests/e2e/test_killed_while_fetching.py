"""A node killed with a known part of a version on its disk: nothing is visible, and its next life
fetches exactly what is missing, or was damaged meanwhile."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from registry_core.domain import limits
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
CHUNK = limits.CHUNK_SMALL
CHUNKS = 640


def marked(partials: Path) -> int:
    """How many chunks of the one file the node says it has."""
    return sum(sum(file.read_bytes()) for file in partials.glob("*.have"))


def damage_one_marked_chunk(partials: Path, rng: random.Random) -> None:
    (marks,) = partials.glob("*.have")
    chunk = rng.choice([n for n, mark in enumerate(marks.read_bytes()) if mark])
    with marks.with_suffix("").open("r+b") as file:
        file.seek(chunk * CHUNK + rng.randrange(CHUNK))
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))


def test_a_node_killed_twice_fetches_each_chunk_once(rig: Rig, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    model = tmp_path / "model"
    model.mkdir()
    content = np.random.default_rng(seed).bytes(CHUNKS * CHUNK)
    (model / "weights.bin").write_bytes(content)
    with rig.connect() as registry:
        pushed = registry.push(model, "m").version
        assert pushed.chunk_bytes == CHUNK
        registry.promote("m@production", 1)
    cache = rig.folder / "n1" / "cache"
    kept = 0
    for share in (0.05 + 0.2 * rng.random(), 0.4 + 0.2 * rng.random()):
        rig.start_node("n1")
        wanted = int(CHUNKS * share)

        def enough(wanted: int = wanted) -> bool:
            return marked(cache / "partial") >= wanted

        rig.wait(enough, f"{wanted} chunks are on disk", "n1")
        rig.fleet.kill("n1")
        before, kept = kept, marked(cache / "partial")
        assert max(before, wanted) <= kept < CHUNKS, "killed in the middle"
        assert not any((cache / "versions").iterdir()), "half a version is not visible"
        assert not any((cache / "blobs").iterdir())
    damage_one_marked_chunk(cache / "partial", rng)
    rig.start_node("n1")
    stage = rig.wait_serving("n1", 1)
    assert stage["bytes_from_origin"] == (CHUNKS - kept + 1) * CHUNK
    (served,) = cache.glob("versions/*/weights.bin")
    assert served.read_bytes() == content
