"""Filling, publishing, sharing, dropping; what is visible, and what never is."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.errors import CacheLocked, VersionIncomplete
from cachd.cache.verifier import verify
from registry_core.domain.identifiers import Digest
from registry_core.errors import IntegrityError
from tests.cache.versions import CHUNK, chunk_of, fill, make_version, random_bytes

SHARED = random_bytes(3 * CHUNK, 2)
FILES = {
    "config.json": b"{}",
    "empty": b"",
    "deep/er/and/deeper/weights.bin": random_bytes(5 * CHUNK + 17, 1),
    "same-1.bin": SHARED,
    "same-2.bin": SHARED,
    "zeros.bin": bytes(6 * CHUNK),
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache") as opened:
        yield opened


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_version_becomes_visible_whole_and_read_only(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    fill(cache, manifest, chunks)
    folder = cache.published(manifest.digest)
    assert folder is not None
    assert content(folder) == FILES
    assert cache.publish(manifest) == folder
    for path in [folder, *folder.rglob("*")]:
        expected = 0o555 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.lstat().st_mode) == expected, path
        assert not path.is_symlink()


def test_files_with_the_same_content_are_one_file_on_disk(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    fill(cache, manifest, chunks)
    folder = cache.publish(manifest)
    assert (folder / "same-1.bin").stat().st_ino == (folder / "same-2.bin").stat().st_ino


def test_a_chunk_repeated_in_a_file_is_stored_once(cache: Cache) -> None:
    manifest, chunks = make_version({"zeros.bin": FILES["zeros.bin"]})
    missing = cache.begin(manifest).missing
    assert len(missing) == 1
    cache.store(verify(missing[0], chunks[missing[0].id]))
    assert content(cache.publish(manifest)) == {"zeros.bin": FILES["zeros.bin"]}


def test_nothing_is_visible_before_the_last_chunk(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    for chunk in cache.begin(manifest).missing:
        assert cache.published(manifest.digest) is None
        with pytest.raises(VersionIncomplete, match="fetch them first"):
            cache.publish(manifest)
        cache.store(verify(chunk, chunks[chunk.id]))
    assert content(cache.publish(manifest)) == FILES


def test_unverified_bytes_are_not_stored(cache: Cache) -> None:
    manifest, _ = make_version(FILES)
    cache.begin(manifest)
    for data in (b"x", memoryview(b"x"), (manifest.files[0].chunks[0], b"x")):
        with pytest.raises(TypeError, match="verified"):
            cache.store(data)  # type: ignore[arg-type]  # the very point
    assert not any(cache.have(manifest.digest) or b"x")


def test_chunks_can_be_read_from_the_first_one_on(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    for number, chunk in enumerate(cache.begin(manifest).missing):
        assert cache.open_chunk(chunk.id) is None
        cache.store(verify(chunk, chunks[chunk.id]))
        held = cache.have(manifest.digest)
        assert held is not None
        assert sum(byte.bit_count() for byte in held) == number + 1
        assert _read(cache, chunk.id) == chunks[chunk.id]
    cache.publish(manifest)
    for chunk_id, data in chunks.items():
        assert _read(cache, chunk_id) == data


def test_have_is_a_bitmap_in_the_order_of_distinct_chunks(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    cache.begin(manifest)
    order = list(manifest.unique_chunks.values())
    for chunk in (order[0], order[9]):
        cache.store(verify(chunk, chunks[chunk.id]))
    assert len(order) == 11
    assert cache.have(manifest.digest) == bytes([0b0000_0001, 0b0000_0010])
    assert cache.have(Digest(bytes(32))) is None


def test_a_sibling_version_finds_what_it_shares(cache: Cache) -> None:
    first, chunks = make_version(FILES)
    fill(cache, first, chunks)
    weights = bytearray(FILES["deep/er/and/deeper/weights.bin"])
    weights[2 * CHUNK] ^= 1
    second, more = make_version({**FILES, "deep/er/and/deeper/weights.bin": bytes(weights)})
    filling = cache.begin(second)
    assert len(filling.missing) == 6, "one file differs, and all its chunks want a place"
    assert len(filling.local) == 5, "of which one has changed"
    fill(cache, second, more)
    assert content(cache.publish(second))["deep/er/and/deeper/weights.bin"] == bytes(weights)
    assert content(cache.publish(first)) == FILES


def test_dropping_leaves_what_another_version_needs(cache: Cache, tmp_path: Path) -> None:
    first, chunks = make_version(FILES)
    second, more = make_version({"same-1.bin": SHARED, "other": b"other"})
    fill(cache, first, chunks)
    fill(cache, second, more)
    cache.put_documents(first.digest, first.encoded, b"bundle", b"hint")
    cache.drop(first.digest)
    assert cache.published(first.digest) is None
    assert cache.have(first.digest) is None
    assert cache.documents(first.digest) is None
    assert content(cache.publish(second)) == {"same-1.bin": SHARED, "other": b"other"}
    assert len(names(tmp_path / "cache" / "blobs")) == 2
    assert _read(cache, chunk_of(SHARED[:CHUNK]).id) == SHARED[:CHUNK]
    cache.drop(second.digest)
    for folder in ("blobs", "partial", "documents", "versions", "tmp"):
        assert names(tmp_path / "cache" / folder) == []


def test_documents_are_kept_and_a_wrong_manifest_refused(cache: Cache) -> None:
    manifest, _ = make_version(FILES)
    assert cache.documents(manifest.digest) is None
    with pytest.raises(IntegrityError):
        cache.put_documents(Digest(bytes(32)), manifest.encoded, b"bundle", b"hint")
    cache.put_documents(manifest.digest, manifest.encoded, b"bundle", b"hint")
    found = cache.documents(manifest.digest)
    assert found is not None
    assert (found.manifest, found.bundle, found.hint) == (manifest.encoded, b"bundle", b"hint")


def test_damage_is_found_and_the_file_is_no_source_any_more(cache: Cache) -> None:
    manifest, chunks = make_version(FILES)
    fill(cache, manifest, chunks)
    folder = cache.publish(manifest)
    assert cache.verify(manifest) == []
    _flip(folder / "same-1.bin", CHUNK + 5)
    assert cache.verify(manifest) == ["same-1.bin", "same-2.bin"]
    assert cache.open_chunk(chunk_of(SHARED[CHUNK : 2 * CHUNK]).id) is None
    cache.drop(manifest.digest)
    fill(cache, manifest, chunks)
    assert cache.verify(manifest) == []


def test_two_threads_storing_the_same_chunks_do_no_harm(cache: Cache) -> None:
    manifest, chunks = make_version({"a": random_bytes(40 * CHUNK, 3)})
    missing = cache.begin(manifest).missing
    failures: list[BaseException] = []

    def store_all() -> None:
        try:
            for chunk in missing:
                cache.store(verify(chunk, chunks[chunk.id]))
        except BaseException as error:  # told to the test
            failures.append(error)

    threads = [threading.Thread(target=store_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    cache.publish(manifest)
    assert cache.verify(manifest) == []


def test_hundreds_of_files_need_no_hundreds_of_descriptors(cache: Cache) -> None:
    files = {f"folder-{n % 7}/file-{n}": random_bytes(1 + n, n) for n in range(400)}
    manifest, chunks = make_version(files)
    before = len(list(Path("/proc/self/fd").iterdir()))
    filling = cache.begin(manifest)
    for chunk in filling.missing:
        cache.store(verify(chunk, chunks[chunk.id]))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert content(cache.publish(manifest)) == files


def test_one_process_at_a_time(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(CacheLocked, match="in use"):
        Cache.open(tmp_path / "cache")
    cache.close()
    Cache.open(tmp_path / "cache").close()


def _read(cache: Cache, chunk_id: object) -> bytes:
    found = cache.open_chunk(chunk_id)  # type: ignore[arg-type]  # of a chunk of these versions
    assert found is not None
    try:
        return os.pread(found.descriptor, found.length, found.offset)
    finally:
        os.close(found.descriptor)


def _flip(path: Path, offset: int) -> None:
    """Change a byte as a disk would: whatever the mode of the file."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)
