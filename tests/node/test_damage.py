"""What is found damaged or lost is mended, at a start or later; no more travels than must."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from cachd.cache.documents import DocumentKind
from cachd.cache.layout import FILE_MODE, FOLDER_MODE, remove_tree
from cachd.cache.quota import Quota
from registry_core import Registry
from registry_core.domain.identifiers import Digest
from tests.cache.test_cache import _flip
from tests.cache.test_space import du
from tests.node.rig import Disk, push

CHUNK = 256 * 1024
FILES = {
    "a.bin": random.Random(1).randbytes(5 * CHUNK),
    "deep/b.bin": random.Random(2).randbytes(3 * CHUNK),
    "deep/er/empty": b"",
}


def rot(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    _flip(folder / "a.bin", 2 * CHUNK)


def spoil_the_hint(disk: Disk, digest: Digest) -> None:
    rot(disk, digest)
    path = disk.cache.document_path(digest, DocumentKind.HINT)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-5])


def spoil_the_bundle(disk: Disk, digest: Digest) -> None:
    rot(disk, digest)
    _flip(disk.cache.document_path(digest, DocumentKind.BUNDLE), 9)


def spoil_the_manifest(disk: Disk, digest: Digest) -> None:
    _flip(disk.cache.document_path(digest, DocumentKind.MANIFEST), 40)


def lose_a_file(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    (folder / "deep").chmod(0o755)
    (folder / "deep" / "b.bin").unlink()


def lose_the_blobs(disk: Disk, digest: Digest) -> None:
    rot(disk, digest)
    for path in (disk.data / "cache" / "blobs").iterdir():
        path.unlink()


def lose_a_folder(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    folder.chmod(0o755)
    remove_tree(folder / "deep")


def put_a_file_for_a_folder(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    lose_a_folder(disk, digest)
    (folder / "deep").write_bytes(b"?")


def lose_a_file_for_good(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    inode = (folder / "deep" / "b.bin").stat().st_ino
    lose_a_file(disk, digest)
    (blob,) = (p for p in (disk.data / "cache" / "blobs").iterdir() if p.stat().st_ino == inode)
    blob.unlink()


def cut_a_file(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    (folder / "a.bin").chmod(0o644)
    os.truncate(folder / "a.bin", 2 * CHUNK)


def empty_a_file(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    (folder / "deep" / "b.bin").chmod(0o644)
    os.truncate(folder / "deep" / "b.bin", 0)


def fill_the_empty_file(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    target = folder / "deep" / "er" / "empty"
    target.chmod(0o644)
    target.write_bytes(b"1")


def lose_all_of_it(disk: Disk, digest: Digest) -> None:
    folder = disk.cache.published(digest)
    assert folder is not None
    remove_tree(folder)
    for path in (disk.data / "cache" / "blobs").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "chunks"),
    [
        (rot, 1), (spoil_the_hint, 1), (spoil_the_bundle, 1), (spoil_the_manifest, 0),
        (lose_a_file, 0), (lose_the_blobs, 1), (put_a_file_for_a_folder, 0),
    ],
)  # fmt: skip
def test_what_a_start_finds_is_mended(
    registry: Registry, tmp_path: Path, damage: Callable[[Disk, Digest], None], chunks: int
) -> None:
    async def story() -> None:
        version = push(registry, tmp_path / "v1", FILES)
        digest = Digest.parse(version.digest)
        origin = tmp_path / "registry" / "origin"
        disk = Disk(tmp_path / "n1", registry, origin, Quota(2**30))
        await disk.residency.bring(version)
        damage(disk, digest)
        await disk.close()
        disk.open()
        assert await disk.residency.bring(version) == disk.cache.published(digest)
        disk.assert_whole(digest, FILES)
        assert disk.residency.bytes_from_origin == chunks * CHUNK
        assert disk.cache.verify(disk.cache.versions()[digest]) == []
        held = disk.cache.have(digest)
        assert held is not None
        assert sum(byte.bit_count() for byte in held) == 8, "all of it is offered again"
        await disk.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("damage", "chunks"),
    [
        (rot, 1), (spoil_the_hint, 1), (lose_a_file, 0), (lose_the_blobs, 1), (lose_a_folder, 0),
        (put_a_file_for_a_folder, 0), (lose_a_file_for_good, 3), (cut_a_file, 3),
        (empty_a_file, 3), (fill_the_empty_file, 0), (lose_all_of_it, 8),
    ],
)  # fmt: skip
def test_what_happens_to_it_while_nobody_needs_it_is_mended(
    registry: Registry, tmp_path: Path, damage: Callable[[Disk, Digest], None], chunks: int
) -> None:
    async def story() -> None:
        version = push(registry, tmp_path / "v1", FILES)
        digest = Digest.parse(version.digest)
        disk = Disk(tmp_path / "n1", registry, tmp_path / "registry" / "origin", Quota(2**30))
        folder = await disk.residency.bring(version)
        await disk.memory.look()
        assert disk.residency.path_of(digest) is None
        before = disk.residency.bytes_from_origin
        damage(disk, digest)
        assert await disk.residency.bring(version) == folder
        disk.assert_whole(digest, FILES)
        assert disk.residency.bytes_from_origin - before == chunks * CHUNK
        assert disk.cache.verify(disk.cache.versions()[digest]) == []
        assert disk.cache.space.used() == du(disk.data / "cache")
        modes = {path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
        assert modes == {FILE_MODE, FOLDER_MODE}
        await disk.close()

    asyncio.run(story())
