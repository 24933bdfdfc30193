"""Random stages, leases, restarts and outside links on a disk that is far too small: what is
resident or leased is never evicted, and the quota is never exceeded."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from cachd.cache.errors import CacheFull, CacheNoRoom
from cachd.cache.quota import Quota
from registry_core import Registry
from registry_core.domain.identifiers import Digest
from registry_core.ledger.records import VersionRecord
from tests.cache.test_space import du
from tests.node.rig import Disk, push, remove

KIB = 1024
VERSIONS = 7
QUOTA = 3_000 * KIB


@pytest.mark.parametrize("_round", range(3))
def test_random_lives(registry: Registry, tmp_path: Path, seed: int, _round: int) -> None:
    rng = random.Random(f"{seed}/{_round}")
    shared = rng.randbytes(300 * KIB)
    files = [
        {"own/weights.bin": rng.randbytes(rng.randrange(450, 900) * KIB)}
        | ({"shared.bin": shared} if rng.random() < 0.5 else {})
        for _ in range(VERSIONS)
    ]
    versions = [push(registry, tmp_path / f"v{n}", one) for n, one in enumerate(files)]
    content = {Digest.parse(v.digest): one for v, one in zip(versions, files, strict=True)}
    disk = Disk(tmp_path / "n1", registry, tmp_path / "registry" / "origin", Quota(QUOTA))
    asyncio.run(_live(disk, versions, content, rng))


async def _live(
    disk: Disk,
    versions: list[VersionRecord],
    content: dict[Digest, dict[str, bytes]],
    rng: random.Random,
) -> None:
    links = disk.data / "links"
    links.mkdir()
    for _ in range(80):
        resident = [Digest.parse(text) for text in sorted(disk.residency.resident())]
        action = rng.choice(["promote", "promote", "lease", "release", "time", "link", "restart"])
        if action == "promote":
            chosen = rng.sample(versions, rng.randint(1, 2))
            disk.wanted = {Digest.parse(version.digest) for version in chosen}
            coming = [disk.residency.bring(version) for version in chosen]
            ends = await asyncio.gather(*coming, disk.retention.sweep(), return_exceptions=True)
            for error in ends:
                assert error is None or isinstance(error, Path | CacheFull), error
        elif action == "lease" and resident:
            disk.leased.add(rng.choice(resident))
        elif action == "release" and disk.leased:
            disk.leased.discard(rng.choice(sorted(disk.leased, key=str)))
        elif action == "time":
            disk.now_s += rng.choice([10, 901])
            await disk.retention.sweep()
        elif action == "link":
            remove(links / "a")
            visible = sorted(disk.on_disk(), key=str)
            if visible and rng.random() < 0.5:
                folder = disk.cache.published(rng.choice(visible))
                assert folder is not None
                os.link(folder / "own/weights.bin", links / "a")
        elif action == "restart":
            await disk.close()
            disk.leased.clear()
            disk.open()
        assert disk.cache.space.used() == du(disk.data / "cache"), action
        assert du(disk.data / "cache") <= QUOTA, action
        for digest in {Digest.parse(text) for text in disk.residency.resident()} | disk.leased:
            disk.assert_whole(digest, content[digest])
    remove(links / "a")
    await _too_much_and_then_less(disk, versions, content)
    await disk.close()


async def _too_much_and_then_less(
    disk: Disk, versions: list[VersionRecord], content: dict[Digest, dict[str, bytes]]
) -> None:
    """All versions together do not fit: some come, and the rest when these are released."""
    disk.wanted = set(content)
    ends = await asyncio.gather(*map(disk.residency.bring, versions), return_exceptions=True)
    came = [end for end in ends if isinstance(end, Path)]
    refused = [end for end in ends if isinstance(end, CacheNoRoom)]
    assert len(came) + len(refused) == VERSIONS
    assert came
    assert refused
    assert "desired" in str(refused[0])
    assert du(disk.data / "cache") <= QUOTA
    disk.leased.clear()
    for version in versions:
        digest = Digest.parse(version.digest)
        disk.wanted, disk.now_s = {digest}, disk.now_s + 901
        await disk.residency.bring(version)
        disk.assert_whole(digest, content[digest])
