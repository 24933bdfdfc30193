"""Whatever an origin loses comes back as it was, if anybody has it; what nobody has is told."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cachd.cache.source import CacheSource
from registry_core import Registry
from registry_core.domain.identifiers import ChunkId, Digest
from registry_core.domain.manifest import Chunk, Manifest
from registry_core.domain.packs import PackName
from registry_core.errors import NotFound
from registry_core.ledger.records import VersionRecord
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.origin.store import Origin
from registry_core.repair.sources import OriginSource
from tests.garbage.rig import FILE_BYTES, HOUR_MS, RUTHLESS, gc, make_files
from tests.repair.rig import (
    check,
    copy_of,
    digest,
    fill_cache,
    flip_a_bit,
    objects,
    origin_folder,
    packs_of,
)

KINDS = ["manifest", "bundle", "hint", "pack"]
HARMS = ["gone", "cut", "emptied", "flipped"]


class Liar:
    """Has everything, and all of it is wrong."""

    name = "a liar"

    def manifest(self, digest: Digest) -> bytes | None:
        return b"{}" + digest.raw

    def bundle(self, digest: Digest) -> bytes | None:
        return b"{}" + digest.raw

    def pack(self, name: PackName) -> bytes | None:
        return name.raw

    def chunk(self, manifest: Manifest, chunk: Chunk) -> bytes | None:
        assert chunk.id in manifest.unique_chunks
        return bytes(chunk.length)


@pytest.fixture
def two(registry: Registry, tmp_path: Path) -> tuple[VersionRecord, VersionRecord]:
    """Model m: version 1 of files 0 to 3, version 2 of 2 to 5, which has a pack of its own for two
    of them and the others in that of version 1."""
    first = registry.push(make_files(tmp_path / "a", range(4)), "m").version
    return first, registry.push(make_files(tmp_path / "b", range(2, 6)), "m").version


def path_of(registry: Registry, version: VersionRecord, kind: str) -> Path:
    key = {"manifest": manifest_key, "bundle": bundle_key, "hint": hint_key}
    folder = origin_folder(registry)
    if kind == "pack":
        return folder / min(packs_of(registry, version))
    return folder / key[kind](digest(version))


def harm(path: Path, how: str, rng: random.Random) -> None:
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "flipped":
        flip_a_bit(path, rng)
    else:
        path.write_bytes(data[: len(data) // 2] if how == "cut" else b"")


def test_a_sound_origin_is_left_alone(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    assert two
    before = objects(origin_folder(registry))
    history = registry.history("m")
    assert check(registry, repair=True, sources=[copy_of(registry, tmp_path / "copy")]) == []
    assert objects(origin_folder(registry)) == before
    assert registry.history("m") == history


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", HARMS)
def test_any_harm_is_undone_from_a_copy(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path,
    kind: str, how: str, seed: int,
) -> None:  # fmt: skip
    folder = origin_folder(registry)
    before = objects(folder)
    copy = copy_of(registry, tmp_path / "copy")
    harm(path_of(registry, two[0], kind), how, random.Random(seed))
    damaged = objects(folder)
    assert [one.name for one in check(registry)][:1] == ["m/1"]
    assert objects(folder) == damaged, "nothing is written unless it is asked for"
    found = check(registry, repair=True, sources=[Liar(), copy])
    assert [(one.name, one.lost) for one in found] == [("m/1", [])]
    assert objects(folder) == before, "to the last byte"
    assert check(registry) == []


def test_everything_is_gone_and_comes_back(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    folder = origin_folder(registry)
    before = objects(folder)
    copy = copy_of(registry, tmp_path / "copy")
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    found = check(registry, repair=True, sources=[copy])
    assert [one.lost for one in found] == [[]] * len(two)
    assert objects(folder) == before


def test_hints_are_made_anew_of_the_packs(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    folder = origin_folder(registry)
    before = objects(folder)
    for version in two:
        path_of(registry, version, "hint").unlink()
    found = check(registry, repair=True)
    assert [one.healed for one in found] == [["its hint, made anew"]] * 2
    assert objects(folder) == before


def test_a_pack_is_made_anew_of_what_a_node_has(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    folder = origin_folder(registry)
    before = objects(folder)
    fill_cache(registry, tmp_path / "node", two[0], tmp_path / "a")
    for kind in ("manifest", "bundle", "pack"):
        path_of(registry, two[0], kind).unlink()
    found = check(registry, repair=True, sources=[CacheSource(tmp_path / "node")])
    assert [(one.name, one.lost) for one in found] == [("m/1", [])]
    assert objects(folder) == before


def test_a_damaged_pack_gives_what_is_sound_in_it(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path, seed: int
) -> None:
    """Its first chunk is damaged, and a node has the file that is this chunk, and no other."""
    folder = origin_folder(registry)
    before = objects(folder)
    data = tmp_path / "node"
    fill_cache(registry, data, two[0], tmp_path / "a")
    manifest = Manifest.parse(path_of(registry, two[0], "manifest").read_bytes())
    pack = path_of(registry, two[0], "pack")
    flip_a_bit(pack, random.Random(seed), before=FILE_BYTES)
    first = min(manifest.files, key=lambda file: pack.read_bytes().find(content(tmp_path, file)))
    for file in manifest.files:
        if file is not first:
            (data / "cache" / "blobs" / file.chunk_root.hex()).unlink()
            (data / "cache" / "versions" / manifest.digest.hex / file.path).chmod(0o644)
            (data / "cache" / "versions" / manifest.digest.hex / file.path).write_bytes(b"other")
    assert check(registry, repair=True, sources=[CacheSource(data)])
    assert objects(folder) == before


def content(tmp_path: Path, file: object) -> bytes:
    return (tmp_path / "a" / str(getattr(file, "path", ""))).read_bytes()


def test_a_pack_that_cannot_be_as_it_was(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    """Version 1 is deleted and its pack is lost; a node has version 2, of which two chunks were in
    that pack."""
    first = packs_of(registry, two[0])
    fill_cache(registry, tmp_path / "node", two[1], tmp_path / "b")
    third = registry.push(make_files(tmp_path / "c", (2, 7)), "m").version
    registry.metadata.delete("m/1")
    (origin_folder(registry) / min(first)).unlink()
    assert [one.name for one in check(registry)] == ["m/2", "m/3"]
    found = check(registry, repair=True, sources=[CacheSource(tmp_path / "node")])
    assert [one.lost for one in found] == [[], []]
    assert "2 chunk(s), in a new pack packs/" in found[0].healed[0]
    assert found[1].healed == ["its hint, made anew"], "with what was put back for the other"
    assert check(registry) == []
    assert packs_of(registry, third) <= objects(origin_folder(registry)).keys()
    assert gc(registry, later_ms=HOUR_MS).packs_condemned == 0, "nothing is left over"


def test_what_nobody_has_is_told_and_the_rest_comes_back(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    """Both packs are gone; a node has the files of version 2 alone."""
    fill_cache(registry, tmp_path / "node", two[1], tmp_path / "b")
    for key in packs_of(registry, two[0]) | packs_of(registry, two[1]):
        (origin_folder(registry) / key).unlink()
    one, other = check(registry, repair=True, sources=[CacheSource(tmp_path / "node"), Liar()])
    lost = [f"2 chunk(s), {2 * FILE_BYTES + 1} bytes, of 0.bin, 1.bin"]
    assert (one.lost, other.lost) == (lost, [])
    (left,) = check(registry, repair=True)
    assert (left.name, left.lost) == ("m/1", lost)
    path_of(registry, two[0], "manifest").unlink()
    path_of(registry, two[0], "bundle").unlink()
    (left,) = check(registry, repair=True)
    assert left.lost == [
        "its manifest, without which nobody knows its chunks",
        "its bundle, the publisher's signature",
    ]


def test_chunks_in_condemned_packs_are_not_counted_on(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    """Version 2 has its hint lost, and two of its chunks only in a pack that gc has condemned."""
    registry.metadata.delete("m/2")
    gc(registry, later_ms=HOUR_MS, waits=RUTHLESS)
    third = registry.push(make_files(tmp_path / "c", (4, 5)), "m").version
    twins = packs_of(registry, third)
    for key in twins:  # another name, as the first was condemned
        (origin_folder(registry) / key).unlink()
    path_of(registry, third, "hint").unlink()
    found = check(registry, repair=True)
    assert [(one.name, one.lost) for one in found] == [("m/3", [])]
    assert packs_of(registry, third) == twins, "made as its push made it"
    gc(registry, later_ms=3 * HOUR_MS, waits=RUTHLESS)
    assert check(registry) == []
    assert two


def test_it_goes_on_after_a_version(
    registry: Registry, two: tuple[VersionRecord, VersionRecord]
) -> None:
    for version in two:
        path_of(registry, version, "hint").unlink()
    names = [one.name for one in registry.check_origin().run("m/1")]
    assert names == ["m/2"]
    assert [one.name for one in registry.check_origin().run()] == ["m/1", "m/2"]
    assert list(registry.check_origin().run("m/2")) == []
    with pytest.raises(NotFound):
        list(registry.check_origin().run("m/9"))


def test_sources_that_have_nothing(
    registry: Registry, two: tuple[VersionRecord, VersionRecord], tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="no node's data directory"):
        CacheSource(tmp_path)
    (tmp_path / "empty").mkdir()
    empty = OriginSource(Origin.open((tmp_path / "empty").as_uri()))
    manifest = Manifest.parse(path_of(registry, two[0], "manifest").read_bytes())
    assert empty.manifest(manifest.digest) is None
    assert empty.chunk(manifest, Chunk(ChunkId(bytes(32)), 1)) is None
    (tmp_path / "empty" / hint_key(manifest.digest)).parent.mkdir(parents=True)
    (tmp_path / "empty" / hint_key(manifest.digest)).write_bytes(b"no hint")
    assert empty.chunk(manifest, manifest.files[0].chunks[0]) is None
