"""The pass over all that is held: it goes on after a restart, and what it finds is mended."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cachd.cache.quota import Quota
from cachd.node.scrubber import Scrubber
from registry_core import Registry
from registry_core.domain.identifiers import Digest
from registry_core.ledger.records import VersionRecord
from tests.cache.test_cache import _flip
from tests.node.rig import GRACE_S, Disk, push

KIB = 1024
CHUNK = 256 * KIB
FILES = [
    {"one.bin": random.Random(1).randbytes(4 * CHUNK), "two.bin": random.Random(2).randbytes(99)},
    {"one.bin": random.Random(3).randbytes(3 * CHUNK), "two.bin": random.Random(2).randbytes(99)},
]


@pytest.fixture
def disk(registry: Registry, tmp_path: Path) -> Disk:
    versions(registry, tmp_path)
    origin = tmp_path / "registry" / "origin"
    return Disk(tmp_path / "n1", registry, origin, Quota(2**30))


def versions(registry: Registry, tmp_path: Path) -> list[VersionRecord]:
    return [push(registry, tmp_path / f"v{n}", files) for n, files in enumerate(FILES)]


def scrubber(
    disk: Disk, on_change: Callable[[], None] = lambda: None, period_s: float = 1e6
) -> Scrubber:
    return Scrubber(
        disk.cache,
        disk.residency,
        disk.data / "scrub.json",
        period_s=period_s,
        kept=disk.retention.kept,
        on_change=on_change,
    )


async def hold_both(disk: Disk, both: list[VersionRecord]) -> list[Digest]:
    """Both versions are here; the second is wanted."""
    digests = [Digest.parse(version.digest) for version in both]
    disk.wanted = {digests[1]}
    for version in both:
        await disk.residency.bring(version)
    await disk.retention.sweep()
    disk.now_s += GRACE_S
    return digests


def test_every_file_has_its_turn_also_across_restarts(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        await hold_both(disk, versions(registry, tmp_path))
        looked = []
        for _ in range(6):
            one = scrubber(disk)
            assert await one.step()
            looked.append(one.state.after)
        files = disk.cache.complete_files()
        assert looked == [root.hex() for root in sorted(files)] * 2
        kept = json.loads((disk.data / "scrub.json").read_bytes())
        assert kept["passes"] == 1
        assert kept["bytes_read"] == 2 * sum(files.values())
        assert kept["chunks_damaged"] == 0
        pause_s = 1e6 * files[bytes.fromhex(looked[-1])] / sum(files.values())
        assert scrubber(disk)._pause_s() == pytest.approx(pause_s, abs=60)
        (disk.data / "scrub.json").write_bytes(b"{")
        assert scrubber(disk).state.after == "", "a pass from the beginning"
        await disk.close()

    asyncio.run(story())


def test_rot_in_what_is_needed_is_mended_by_one_chunk_from_the_origin(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        _, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder = disk.cache.published(wanted)
        assert folder is not None
        inode, told = (folder / "one.bin").stat().st_ino, asyncio.Event()
        _flip(folder / "one.bin", CHUNK + 7)
        before = disk.residency.bytes_from_origin
        one = scrubber(disk, told.set)
        for _ in disk.cache.complete_files():
            await one.step()
        assert one.state.chunks_damaged == 1
        assert told.is_set()
        disk.assert_whole(wanted, FILES[1])
        assert (folder / "one.bin").stat().st_ino != inode
        assert disk.residency.bytes_from_origin - before == CHUNK
        assert disk.residency.path_of(wanted) == folder
        await disk.close()

    asyncio.run(story())


def test_a_lost_file_is_made_again_of_what_its_version_shows(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        _, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder, before = disk.cache.published(wanted), disk.residency.bytes_from_origin
        assert folder is not None
        (file,) = (f for f in disk.cache.versions()[wanted].files if f.path == "one.bin")
        blob = disk.data / "cache" / "blobs" / file.chunk_root.hex()
        with (folder / "one.bin").open("rb") as opened:
            blob.unlink()
            one = scrubber(disk)
            for _ in disk.cache.complete_files():
                await one.step()
            assert opened.read() == FILES[1]["one.bin"], "who has it open keeps it"
        assert one.state.chunks_damaged == 3
        assert blob.read_bytes() == FILES[1]["one.bin"], "peers can have it again"
        disk.assert_whole(wanted, FILES[1])
        assert disk.residency.bytes_from_origin == before
        assert disk.residency.path_of(wanted) == folder
        await disk.close()

    asyncio.run(story())


def test_rot_in_what_nobody_needs_is_evicted_with_its_version(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        unneeded, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder = disk.cache.published(unneeded)
        assert folder is not None
        _flip(folder / "one.bin", 3)
        one = scrubber(disk)
        for _ in disk.cache.complete_files():
            await one.step()
        assert disk.on_disk() == {wanted}
        disk.assert_whole(wanted, FILES[1])
        await disk.close()

    asyncio.run(story())


def test_rot_in_a_shared_file_is_mended_for_who_needs_it(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        _, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder = disk.cache.published(wanted)
        assert folder is not None
        _flip(folder / "two.bin", 3)
        one = scrubber(disk)
        for _ in disk.cache.complete_files():
            await one.step()
        assert disk.on_disk() == {wanted}
        disk.assert_whole(wanted, FILES[1])
        await disk.close()

    asyncio.run(story())


def test_what_nobody_can_give_is_asked_for_again(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        _, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder, origin = disk.cache.published(wanted), tmp_path / "registry" / "origin"
        assert folder is not None
        _flip(folder / "one.bin", 3)
        shutil.move(origin / "packs", tmp_path / "away")
        one = scrubber(disk)
        for _ in disk.cache.complete_files():
            await one.step()
        assert one.state.chunks_damaged == 1
        assert disk.cache.open_chunk(_chunk_of(disk, wanted)) is None, "damaged, so no source"
        shutil.move(tmp_path / "away", origin / "packs")
        assert one._pause_s() <= 60
        await one.step()
        disk.assert_whole(wanted, FILES[1])
        await disk.close()

    asyncio.run(story())


def test_a_running_pass_finds_rot_and_ends_with_its_task(
    disk: Disk, registry: Registry, tmp_path: Path
) -> None:
    async def story() -> None:
        unneeded, wanted = await hold_both(disk, versions(registry, tmp_path))
        folder, found = disk.cache.published(unneeded), asyncio.Event()
        assert folder is not None
        _flip(folder / "one.bin", 3)
        one = scrubber(disk, found.set, period_s=1e-6)
        task = asyncio.create_task(one.run())
        await asyncio.wait_for(found.wait(), 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert disk.on_disk() == {wanted}
        await disk.close()

    asyncio.run(story())


def _chunk_of(disk: Disk, digest: Digest) -> object:
    (file,) = (f for f in disk.cache.versions()[digest].files if f.path == "one.bin")
    return file.chunks[0].id
