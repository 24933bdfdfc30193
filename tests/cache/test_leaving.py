"""A file that gives way goes as others are written, unless somebody else has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.leaving import LeavingFiles
from cachd.cache.libc import ReadOnlyMap
from cachd.cache.quota import Quota
from cachd.cache.verifier import verify
from tests.cache.test_space import du
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

STEP = limits.LEAVING_STEP
CONTENT = random_bytes(2 * STEP + 1000, 4)


def on_disk(below: Path) -> int:
    """Bytes of files below it that have no name any more, but that this process has open."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            name = str(entry.readlink())
            state = entry.stat()
        except FileNotFoundError:  # of the listing itself
            continue
        if name.startswith(str(below)) and name.endswith(" (deleted)"):
            total += state.st_blocks * 512
    return total


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    return path


def test_it_goes_as_others_are_written(file: Path) -> None:
    leaving = LeavingFiles()
    leaving.remove(file, gradually=True)
    assert not file.exists()
    assert leaving.bytes == STEP + 1000, "one step goes at once"
    leaving.make_way(STEP)
    assert leaving.bytes == STEP + 1000, "as much was made already"
    leaving.make_way(1)
    assert leaving.bytes == 1000
    assert 1000 <= on_disk(file.parent) < 16_384
    leaving.make_way(2 * STEP)
    assert (leaving.bytes, on_disk(file.parent)) == (0, 0)
    leaving.make_way(STEP)


def test_what_is_left_goes_at_the_end(file: Path) -> None:
    leaving = LeavingFiles()
    leaving.remove(file, gradually=True)
    leaving.finish()
    assert (leaving.bytes, on_disk(file.parent)) == (0, 0)
    leaving.remove(file, gradually=True)  # it is not there


def test_many_files_are_no_many_descriptors_and_go_no_faster(tmp_path: Path) -> None:
    """A version may have more files than a process may have open."""
    leaving, most = LeavingFiles(), limits.LEAVING_FILES_MAX
    paths = [tmp_path / str(number) for number in range(most + 8)]
    for path in paths:
        with path.open("wb") as sparse:
            sparse.truncate(2 * STEP)
    small = tmp_path / "small"
    small.write_bytes(CONTENT[: STEP - 1])
    before = len(os.listdir("/proc/self/fd"))
    for path in (small, *paths):
        leaving.remove(path, gradually=True)
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) == before + most
    assert leaving.bytes == (2 * most - 1) * STEP, "one step in all goes at once"
    leaving.finish()
    assert len(os.listdir("/proc/self/fd")) == before


def test_at_once(file: Path) -> None:
    leaving = LeavingFiles()
    leaving.remove(file, gradually=False)
    assert (file.exists(), leaving.bytes, on_disk(file.parent)) == (False, 0, 0)


def opened(path: Path) -> Callable[[], bytes]:
    descriptor = os.open(path, os.O_RDONLY)
    return lambda: os.pread(descriptor, len(CONTENT), 0)


def mapped(path: Path) -> Callable[[], bytes]:
    """Without a descriptor: that was closed once it was mapped."""
    held = ReadOnlyMap(path)
    return lambda: bytes(held.view(0, len(CONTENT)))


def linked(path: Path) -> Callable[[], bytes]:
    other = path.with_name("link")
    os.link(path, other)
    return other.read_bytes


@pytest.mark.parametrize("have", [opened, mapped, linked])
def test_who_has_it_keeps_all_of_it(
    file: Path, have: Callable[[Path], Callable[[], bytes]]
) -> None:
    read = have(file)
    leaving = LeavingFiles()
    leaving.remove(file, gradually=True)
    assert (file.exists(), leaving.bytes) == (False, 0)
    leaving.make_way(10 * STEP)
    leaving.finish()
    assert read() == CONTENT


def test_a_version_gives_way_to_the_next_within_the_quota(tmp_path: Path) -> None:
    chunks = 12 * limits.LEAVING_STEP // CHUNK // 4
    first = make_version({"weights.bin": random_bytes(chunks * CHUNK, 1)})
    manifest, given = make_version({"weights.bin": random_bytes(chunks * CHUNK, 2)})
    root = tmp_path / "cache"
    quota = 5 * chunks * CHUNK // 4
    with Cache.open(root, Quota(quota)) as cache:
        fill(cache, *first)
        cache.publish(first[0])
        before, limit = cache.space.used(), cache.space.limit()
        cache.drop(first[0].digest, gives_way=True)
        assert cache.space.used() < before - 2 * STEP, "the next may have its room"
        assert cache.space.limit() == limit
        assert on_disk(root) >= chunks * CHUNK - STEP
        for chunk in cache.begin(manifest).missing:
            cache.store(verify(chunk, given[chunk.id]))
            assert du(root) + on_disk(root) <= quota
        assert on_disk(root) <= STEP
        cache.publish(manifest)
        assert on_disk(root) == 0


@pytest.mark.parametrize("end", ["settle", "close", "drop"])
def test_nothing_stays_when_nothing_comes(tmp_path: Path, end: str) -> None:
    version, next_one = (make_version({"weights.bin": random_bytes(3 * STEP, n)}) for n in (1, 2))
    cache = Cache.open(tmp_path / "cache")
    fill(cache, *version)
    cache.drop(version[0].digest, gives_way=True)
    cache.begin(next_one[0])
    assert on_disk(tmp_path) > 0
    if end == "settle":
        cache.settle(next_one[0].digest)
    elif end == "close":
        cache.close()
    else:
        cache.drop(next_one[0].digest)
    assert on_disk(tmp_path) == 0
    cache.close()
