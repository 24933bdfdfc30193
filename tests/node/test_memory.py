"""What a node holds in memory: what comes, what waits, what gives way, what stays. Real files, a
real cache; what stages want and workers hold is set by hand."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from cachd.cache.quota import Quota
from cachd.memory.errors import MemoryNoRoom
from cachd.memory.locking import LockMemory, lockable_bytes
from cachd.memory.settings import MemorySettings
from cachd.memory.standing import MemoryPolicy, Standing
from registry_core import Registry
from registry_core.domain.identifiers import Digest
from registry_core.ledger.records import VersionRecord
from tests.node.rig import Disk, push

KIB = 1024
SIZE = 512 * KIB
Story = Callable[[Disk, list[VersionRecord]], Coroutine[None, None, None]]
Play = Callable[..., None]


@pytest.fixture
def play(registry: Registry, tmp_path: Path) -> Play:
    """Four versions of half a MiB each; memory for two, and a half."""

    def run(story: Story, policy: MemoryPolicy, lock: LockMemory = LockMemory.NEVER) -> None:
        versions = [
            push(registry, tmp_path / f"v{n}", {"weights.bin": random.Random(n).randbytes(SIZE)})
            for n in range(4)
        ]
        settings = MemorySettings(Quota(5 * SIZE // 2), policy, lock)
        origin = tmp_path / "registry" / "origin"
        disk = Disk(tmp_path / "n1", registry, origin, Quota(1 << 30), settings)

        async def told() -> None:
            await story(disk, versions)
            await disk.close()

        asyncio.run(told())

    return run


def digest(version: VersionRecord) -> Digest:
    return Digest.parse(version.digest)


async def bring(disk: Disk, version: VersionRecord, standing: Standing) -> None:
    disk.standings[digest(version)] = standing
    await disk.residency.bring(version)
    disk.now_s += 1


def test_a_third_waits_and_comes_when_memory_is_free(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, _ = versions
        await bring(disk, one, Standing.NEEDED)
        await bring(disk, two, Standing.GRACE)
        with pytest.raises(MemoryNoRoom, match=r"needs 524\.3 kB, 262\.1 kB free of the 1\.3 MB"):
            await bring(disk, three, Standing.NEEDED)
        assert disk.residency.path_of(digest(three)) is None
        assert disk.cache.published(digest(three)), "on the disk it is, for later"
        assert disk.let_go == []
        waited = asyncio.create_task(disk.residency.pause(60))
        await asyncio.sleep(0)
        del disk.standings[digest(two)]  # its grace is over
        await disk.memory.look()
        await asyncio.wait_for(waited, 10)
        before = disk.residency.bytes_from_origin
        await bring(disk, three, Standing.NEEDED)
        assert disk.memory.digests() == {digest(one), digest(three)}
        assert disk.residency.bytes_from_origin == before, "nothing travelled"

    play(story, MemoryPolicy.REFUSE)


def test_grace_is_shortened_for_it(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        await bring(disk, one, Standing.GRACE)
        await bring(disk, two, Standing.NEEDED)
        await bring(disk, three, Standing.NEEDED)
        assert disk.let_go == [digest(one)]
        assert disk.memory.digests() == {digest(two), digest(three)}
        disk.standings[digest(two)] = Standing.ROLLBACK
        with pytest.raises(MemoryNoRoom, match=r"taken: 524\.3 kB rollback, 524\.3 kB needed"):
            await bring(disk, four, Standing.NEEDED)
        assert disk.let_go == [digest(one)], "what a rollback needs stays"

    play(story, MemoryPolicy.SHORTEN_GRACE)


def test_a_worker_that_holds_on_is_waited_for(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, _ = versions
        await bring(disk, one, Standing.GRACE)
        await bring(disk, two, Standing.NEEDED)
        disk.stays = {digest(one)}  # a slow reader
        with pytest.raises(MemoryNoRoom, match="leased"):
            await bring(disk, three, Standing.NEEDED)
        assert disk.let_go == [digest(one)]
        assert digest(one) in disk.memory.digests()
        del disk.standings[digest(one)]
        await bring(disk, three, Standing.NEEDED)
        assert disk.memory.digests() == {digest(two), digest(three)}

    play(story, MemoryPolicy.SHORTEN_GRACE)


def test_what_is_prefetched_goes_before_what_rollbacks_need(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        await bring(disk, one, Standing.ROLLBACK)
        await bring(disk, two, Standing.PREFETCHED)
        await bring(disk, three, Standing.NEEDED)
        assert disk.memory.digests() == {digest(one), digest(three)}
        await bring(disk, four, Standing.NEEDED)
        assert disk.memory.digests() == {digest(three), digest(four)}
        with pytest.raises(MemoryNoRoom):
            await bring(disk, two, Standing.PREFETCHED)

    play(story, MemoryPolicy.EVICT)


def test_a_wish_leaves_room_for_what_is_to_be_served(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        await bring(disk, one, Standing.NEEDED)
        disk.to_serve = {digest(four): four.bytes}
        with pytest.raises(MemoryNoRoom):
            await bring(disk, two, Standing.PREFETCHED)
        disk.to_serve = {}
        await bring(disk, three, Standing.PREFETCHED)

    play(story, MemoryPolicy.REFUSE)


def test_what_workers_hold_already_is_always_taken_in(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        for version in versions[:2]:
            await bring(disk, version, Standing.NEEDED)
        disk.in_use = {digest(versions[2])}
        await bring(disk, versions[2], Standing.NEEDED)
        assert len(disk.memory.digests()) == 3

    play(story, MemoryPolicy.REFUSE)


def test_files_that_versions_share_take_memory_once(
    play: Play, registry: Registry, tmp_path: Path
) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        await bring(disk, versions[0], Standing.NEEDED)
        await bring(disk, versions[1], Standing.NEEDED)
        files = {"weights.bin": random.Random(0).randbytes(SIZE), "more.json": b"{}"}
        await bring(disk, push(registry, tmp_path / "v9", files), Standing.NEEDED)
        assert disk.memory.used() == 2 * SIZE + 4096

    play(story, MemoryPolicy.REFUSE)


def test_what_a_bring_reserved_is_free_when_it_fails(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, _ = versions
        for version in (one, two):
            disk.standings[digest(version)] = Standing.NEEDED
            bringing = asyncio.create_task(disk.residency.bring(version))
            await asyncio.sleep(0)
            bringing.cancel()
            await asyncio.gather(bringing, return_exceptions=True)
        jobs = [job.task for job in disk.residency._jobs.values() if job.task]
        await asyncio.gather(*jobs, return_exceptions=True)
        await disk.memory.look()
        for version in (one, three):
            await bring(disk, version, Standing.NEEDED)

    play(story, MemoryPolicy.REFUSE)


def test_reclaimed_pages_are_brought_back_and_damage_is_mended(play: Play) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one = versions[0]
        await bring(disk, one, Standing.NEEDED)
        version = disk.memory._versions[digest(one)]
        assert version.held is not None
        path = disk.residency.path_of(digest(one))
        assert path is not None
        assert version.measured.share == 1.0
        file = path / "weights.bin"
        reclaim(version.held._maps["weights.bin"], file)
        await disk.memory.look()
        assert (version.measured.share, disk.memory.bytes_brought_back) == (1.0, SIZE)
        file.chmod(0o644)
        with file.open("r+b") as spoiled:
            spoiled.write(b"spoiled")
        reclaim(version.held._maps["weights.bin"], file)
        disk.now_s += 1000
        await disk.memory.look()
        disk.assert_whole(digest(one), {"weights.bin": random.Random(0).randbytes(SIZE)})
        assert digest(one) in disk.memory.digests()

    play(story, MemoryPolicy.REFUSE)


def reclaim(mapped: object, file: Path) -> None:
    """As the kernel does under pressure: unmap the pages here, then drop them."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None)
    address, size = mapped._address, mapped.size  # type: ignore[attr-defined]
    assert libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.MADV_DONTNEED) == 0
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_locked_or_warm_is_told(play: Play) -> None:
    limit = lockable_bytes()
    may = limit is None or limit >= 2 * SIZE

    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        await bring(disk, versions[0], Standing.NEEDED)
        (told,) = disk.memory.reports()
        assert (told.standing, told.bytes, told.there) == ("needed", SIZE, SIZE)
        assert told.locked == (SIZE if may else 0)
        assert disk.memory.locked() == told.locked

    play(story, MemoryPolicy.REFUSE, LockMemory.AUTO)
