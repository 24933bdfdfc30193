"""What nobody names stays as cache until its space is needed, least recently used first to go."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from cachd.cache.errors import CacheNoRoom
from cachd.cache.quota import Quota
from registry_core import Registry
from registry_core.domain.identifiers import Digest
from registry_core.ledger.records import VersionRecord
from tests.node.rig import GRACE_S, Disk, push

KIB = 1024
SIZE = 512 * KIB
Story = Callable[[Disk, list[VersionRecord]], Coroutine[None, None, None]]
Run = Callable[[Story], None]


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> Run:
    """Four versions of half a MiB each; room for less than four, and below 80 % for two."""

    def play(story: Story) -> None:
        versions = [
            push(registry, tmp_path / f"v{n}", {"weights.bin": random.Random(n).randbytes(SIZE)})
            for n in range(4)
        ]
        origin = tmp_path / "registry" / "origin"
        disk = Disk(tmp_path / "n1", registry, origin, Quota(1900 * KIB))
        asyncio.run(told(disk, versions, story))

    return play


async def told(disk: Disk, versions: list[VersionRecord], story: Story) -> None:
    await story(disk, versions)
    await disk.close()


def digest(version: VersionRecord) -> Digest:
    return Digest.parse(version.digest)


async def bring(disk: Disk, version: VersionRecord) -> None:
    """As the only version that is wanted."""
    disk.wanted = {digest(version)}
    await disk.residency.bring(version)
    await disk.retention.sweep()
    disk.now_s += 1


def test_what_is_not_needed_stays_and_is_there_at_once(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        for version in versions[:2]:
            await bring(disk, version)
        disk.now_s += 10 * GRACE_S
        await disk.retention.sweep()
        assert disk.on_disk() == {digest(version) for version in versions[:2]}
        before = disk.residency.bytes_from_origin
        await bring(disk, versions[0])
        assert disk.residency.bytes_from_origin == before, "nothing travelled"

    run(story)


def test_the_least_recently_used_goes_when_space_is_needed(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        for use_s, version in ((3e8, one), (2e8, two), (1e8, three)):
            await bring(disk, version)
            disk.now_s += GRACE_S
            disk.cache.touch(digest(version), use_s)
        assert disk.on_disk() == {digest(v) for v in (one, two, three)}, "below the high watermark"
        await bring(disk, four)
        assert disk.on_disk() == {digest(one), digest(four)}, "down to the low one"

    run(story)


def test_the_last_use_outlasts_a_restart_and_grace_with_it(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        for version in (one, two, three):
            await bring(disk, version)
        for age_s, version in ((GRACE_S + 5, one), (GRACE_S + 9, two), (GRACE_S - 60, three)):
            disk.cache.touch(digest(version), time.time() - age_s)
        await disk.close()
        disk.open()
        await bring(disk, four)
        assert digest(two) not in disk.on_disk(), "used least recently"
        assert digest(three) in disk.on_disk(), "within grace"

    run(story)


def test_a_version_that_does_not_fit_is_told_and_comes_once_there_is_room(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        for version in (one, two, three):
            await bring(disk, version)
        disk.leased = {digest(one), digest(two)}
        disk.wanted = {digest(three), digest(four)}
        with pytest.raises(CacheNoRoom) as caught:
            await disk.residency.bring(four)
        assert str(SIZE // 100_000) in f"{caught.value.wanted:,}"
        assert caught.value.limit == 1900 * KIB
        assert caught.value.wanted > caught.value.free
        assert "leased, desired or within grace" in str(caught.value)
        assert "--cache-quota" in str(caught.value)
        assert disk.on_disk() == {digest(one), digest(two), digest(three)}
        disk.leased.clear()
        disk.now_s += GRACE_S
        await disk.residency.bring(four)
        assert {digest(three), digest(four)} <= disk.on_disk()

    run(story)


def test_nothing_is_evicted_for_a_version_that_will_not_fit_all_the_same(
    run: Run, registry: Registry, tmp_path: Path
) -> None:
    huge = push(registry, tmp_path / "huge", {"weights.bin": random.Random(9).randbytes(4 * SIZE)})

    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        for version in versions[:3]:
            await bring(disk, version)
        disk.now_s += GRACE_S
        with pytest.raises(CacheNoRoom):
            await disk.residency.bring(huge)
        assert disk.on_disk() == {digest(version) for version in versions[:3]}

    run(story)


def test_versions_linked_from_outside_are_spared_for_they_free_nothing(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        one, two, three, four = versions
        for age_s, version in ((9e8, one), (8e8, two), (7e8, three)):
            await bring(disk, version)
            disk.now_s += GRACE_S
            disk.cache.touch(digest(version), 1e9 - age_s)
        folder = disk.cache.published(digest(one))
        assert folder is not None
        os.link(folder / "weights.bin", disk.data / "mine.bin")
        await bring(disk, four)
        assert disk.on_disk() == {digest(one), digest(four)}
        (disk.data / "mine.bin").unlink()

    run(story)


def test_a_version_wanted_again_while_it_is_being_evicted_is_whole(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        await bring(disk, versions[0])
        disk.cache._changing.acquire()  # as another version's begin may hold it for long
        evicted = asyncio.create_task(disk.residency.evict(digest(versions[0])))
        await asyncio.sleep(0)
        brought = asyncio.create_task(disk.residency.bring(versions[0]))
        try:
            done, _ = await asyncio.wait([brought], timeout=0.5)
            assert not done, "what is on the disk still is about to go"
        finally:
            disk.cache._changing.release()
        await asyncio.gather(evicted, brought)
        files = {"weights.bin": random.Random(0).randbytes(SIZE)}
        disk.assert_whole(digest(versions[0]), files)

    run(story)


def test_a_smaller_quota_is_reached_without_touching_what_is_kept(run: Run) -> None:
    async def story(disk: Disk, versions: list[VersionRecord]) -> None:
        for version in versions[:3]:
            await bring(disk, version)
        disk.now_s += GRACE_S + 3
        await disk.close()
        disk._quota = Quota(100 * KIB)
        disk.open()
        disk.now_s += GRACE_S + 3
        await disk.retention.sweep()
        assert disk.on_disk() == disk.wanted == {digest(versions[2])}

    run(story)
