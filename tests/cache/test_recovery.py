"""What a restart makes of what a crash, a bad disk or a person left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.salvage import salvage
from cachd.cache.verifier import verify
from tests.cache.test_cache import FILES, content, names
from tests.cache.test_space import du
from tests.cache.versions import CHUNK, fill, make_version, random_bytes

ONE = {"weights.bin": random_bytes(8 * CHUNK, 5)}


def half_filled(root: Path) -> Path:
    """A cache closed after half of the chunks of ONE; the path of the partial."""
    manifest, chunks = make_version(ONE)
    with Cache.open(root) as cache:
        for chunk in cache.begin(manifest).missing[:4]:
            cache.store(verify(chunk, chunks[chunk.id]))
    return root / "partial" / manifest.files[0].chunk_root.hex()


def test_filling_goes_on_where_it_stopped(tmp_path: Path) -> None:
    half_filled(tmp_path)
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        assert cache.have(manifest.digest) == b"\0", "nothing counts before it is hashed again"
        filling = cache.begin(manifest)
        assert [chunk.id for chunk in filling.missing] == list(chunks)[4:]
        assert cache.have(manifest.digest) == b"\x0f"
        assert filling.bytes_there == 4 * CHUNK
        fill(cache, manifest, chunks)
        assert content(cache.publish(manifest)) == ONE


def test_the_record_of_a_partial_is_one_byte_per_chunk(tmp_path: Path) -> None:
    partial = half_filled(tmp_path)
    assert partial.stat().st_size == 8 * CHUNK
    assert partial.with_name(partial.name + ".have").read_bytes() == b"\1\1\1\1\0\0\0\0"


def test_a_damaged_chunk_in_a_partial_is_noticed(tmp_path: Path) -> None:
    partial = half_filled(tmp_path)
    with partial.open("r+b") as file:
        file.seek(2 * CHUNK + 1)
        file.write(b"\xff\x00\xff")
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        missing = [chunk.id for chunk in cache.begin(manifest).missing]
        assert missing == [list(chunks)[2], *list(chunks)[4:]]
        fill(cache, manifest, chunks)
        assert content(cache.publish(manifest)) == ONE


@pytest.mark.parametrize("marks", [b"\1" * 8, b"\1" * 7, b"\xff" * 8, b"", b"\1" * 9])
def test_marks_that_lie_are_not_believed(tmp_path: Path, marks: bytes) -> None:
    partial = half_filled(tmp_path)
    partial.with_name(partial.name + ".have").write_bytes(marks)
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        missing = {chunk.id for chunk in cache.begin(manifest).missing}
        assert missing >= set(list(chunks)[4:])
        fill(cache, manifest, chunks)
        assert cache.verify(manifest) == []


@pytest.mark.parametrize("size", [0, 3 * CHUNK + 1, 9 * CHUNK])
def test_a_partial_of_the_wrong_size_is_filled_again(tmp_path: Path, size: int) -> None:
    partial = half_filled(tmp_path)
    with partial.open("r+b") as file:
        file.truncate(size)
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        assert content(cache.publish(manifest)) == ONE


def test_a_published_version_is_there_after_a_restart(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    with Cache.open(tmp_path) as cache:
        assert cache.begin(manifest).missing == ()
        assert cache.have(manifest.digest) == b"\xff\x07"
        assert content(cache.publish(manifest)) == FILES


def test_leftovers_are_removed(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    sound = {folder: names(tmp_path / folder) for folder in ("blobs", "partial", "documents")}
    unknown = "ab" * 32
    for folder in ("blobs", "partial"):
        (tmp_path / folder / unknown).write_bytes(b"left")
        (tmp_path / folder / "not hex").write_bytes(b"left")
    (tmp_path / "partial" / f"{'cd' * 32}.have").write_bytes(b"\1")
    (tmp_path / "documents" / f"{unknown}.bundle").write_bytes(b"left")
    (tmp_path / "tmp" / "half" / "made").mkdir(parents=True)
    (tmp_path / "tmp" / "half" / "made" / "file").write_bytes(b"left")
    (tmp_path / "tmp" / "half" / "made").chmod(0o555)
    with Cache.open(tmp_path) as cache:
        assert {folder: names(tmp_path / folder) for folder in sound} == sound
        assert names(tmp_path / "tmp") == []
        assert content(cache.publish(manifest)) == FILES


def test_a_damaged_manifest_is_dropped_and_its_files_adopted_later(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    document = tmp_path / "documents" / manifest.digest.hex
    document.chmod(0o644)
    document.write_bytes(document.read_bytes().replace(b"config.json", b"config.jsOn"))
    with Cache.open(tmp_path) as cache:
        assert cache.have(manifest.digest) is None
        assert cache.begin(manifest).missing == (), "the blobs were hashed and taken back"
        assert content(cache.publish(manifest)) == FILES


def test_a_blob_that_lost_bytes_is_fetched_again(tmp_path: Path) -> None:
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    blob = tmp_path / "blobs" / manifest.files[0].chunk_root.hex()
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.truncate(CHUNK)
    with Cache.open(tmp_path) as cache:
        assert len(cache.begin(manifest).missing) == 8
        assert cache.verify(manifest) == ["weights.bin"], "its directory has the damaged file still"
        cache.drop(manifest.digest)
        fill(cache, manifest, chunks)
        assert content(cache.publish(manifest)) == ONE


def test_a_directory_that_lacks_files_is_made_again_of_the_blobs(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
    for path, spoil in (("config.json", _lose), ("empty", _lose), ("same-2.bin", _shorten)):
        spoil(folder / path)
        with Cache.open(tmp_path) as cache:
            assert cache.published(manifest.digest) is None, path
            fill(cache, manifest, chunks)
            assert content(cache.publish(manifest)) == FILES


def test_an_open_folder_of_a_version_is_closed_again(tmp_path: Path) -> None:
    """As a crash leaves it in the midst of a mend."""
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
        folder = cache.publish(manifest)
    (folder / "deep" / "er").chmod(0o755)
    with Cache.open(tmp_path) as cache:
        assert cache.published(manifest.digest) == folder
    assert (folder / "deep" / "er").stat().st_mode & 0o777 == 0o555


def test_what_is_not_of_this_cache_is_left_alone(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    theirs = [tmp_path / "notes.txt", tmp_path / "versions" / "latest" / "a", tmp_path / "more/b"]
    theirs += [tmp_path / name / "mine" / "c" for name in ("blobs", "partial", "documents")]
    theirs += [tmp_path / "condemned" / "mine" / "d", tmp_path / "versions" / "file"]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of a person")
    modes = [path.parent.stat().st_mode for path in theirs]
    for _ in range(2):
        with Cache.open(tmp_path) as cache:
            assert content(cache.publish(manifest)) == FILES
            cache.tidy()
    assert all(path.read_bytes() == b"of a person" for path in theirs)
    assert [path.parent.stat().st_mode for path in theirs] == modes


def test_a_directory_whose_manifest_is_lost_can_be_evicted(tmp_path: Path) -> None:
    manifest, chunks = make_version(FILES)
    with Cache.open(tmp_path) as cache:
        empty = cache.space.used()
        fill(cache, manifest, chunks)
    (tmp_path / "documents" / manifest.digest.hex).unlink()
    with Cache.open(tmp_path) as cache:
        assert cache.versions() == {}
        (held,) = cache.survey().held
        assert (held.digest, held.used_s) == (manifest.digest, 0.0)
        cache.drop(held.digest)
        assert list((tmp_path / "blobs").iterdir()) == []
        assert list((tmp_path / "versions").iterdir()) == []
        assert cache.space.used() <= empty + 16_384
    with Cache.open(tmp_path) as cache:
        assert cache.survey().held == ()


def test_a_directory_whose_blobs_are_lost_is_counted(tmp_path: Path) -> None:
    manifest, chunks = make_version(ONE)
    with Cache.open(tmp_path) as cache:
        fill(cache, manifest, chunks)
    (tmp_path / "blobs" / manifest.files[0].chunk_root.hex()).unlink()
    with Cache.open(tmp_path) as cache:
        assert cache.space.used() == du(tmp_path) > 8 * CHUNK
        assert cache.published(manifest.digest) is not None
        assert salvage(cache, cache.begin(manifest)) == 8 * CHUNK, "nothing has to travel"
        assert content(cache.mend(manifest)) == ONE
        assert cache.space.used() == du(tmp_path)


def _lose(path: Path) -> None:
    path.parent.chmod(0o755)
    path.unlink()
    path.parent.chmod(0o555)


def _shorten(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 1)
    path.chmod(0o444)
