"""Pushing: the same files give the same version, and only what changed travels."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from registry_core import Registry
from registry_core.domain import limits
from registry_core.domain.identifiers import Digest, ModelName
from registry_core.domain.manifest import Manifest
from registry_core.errors import IntegrityError, InvalidInput, InvalidModelFiles, NotFound
from registry_core.origin.layout import bundle_key, hint_key, manifest_key
from registry_core.push.hashing import build_manifest
from registry_core.push.pipeline import PushReport
from registry_core.push.progress import silent
from registry_core.push.scan import scan_directory
from registry_core.push.upload import Uploader
from registry_core.verify import verify_versions
from tests.models import MIB, make_model


def objects(registry_home: Path) -> dict[str, tuple[int, int]]:
    """Every object of the origin: (bytes, inode), so that one that was written again shows.

    What a store writes aside (a name with `#`) is no object.
    """
    origin = registry_home / "origin"
    return {
        str(path.relative_to(origin)): (path.stat().st_size, path.stat().st_ino)
        for path in origin.rglob("*")
        if path.is_file() and "#" not in path.name
    }


def packs(registry_home: Path) -> dict[str, tuple[int, int]]:
    return {k: v for k, v in objects(registry_home).items() if k.startswith("packs/")}


def sound(registry: Registry, *models: str) -> bool:
    versions = [version for model in models for version in registry.versions(model)]
    policy = registry.control.policy()
    return verify_versions(registry.origin, policy, versions, deep=True).problems == []


def test_the_same_files_are_the_same_version_and_travel_once(
    registry: Registry, tmp_path: Path
) -> None:
    first = registry.push(make_model(tmp_path / "a"), "m", tags={"k": "v"}, notes="first")
    assert (first.created, first.version.number) == (True, 1)
    assert first.bytes_total == first.bytes_new == first.version.bytes
    assert (first.version.tags, first.version.notes) == ({"k": "v"}, "first")
    before = objects(tmp_path / "registry")
    again = registry.push(make_model(tmp_path / "b"), "m")  # other place, other times
    assert (again.created, again.bytes_new, again.bytes_uploaded) == (False, 0, 0)
    assert again.version == first.version
    assert objects(tmp_path / "registry") == before


def test_the_identity_hangs_on_every_file_name_and_byte(registry: Registry, tmp_path: Path) -> None:
    files = make_model(tmp_path / "a", tensors=1)
    digests = {registry.push(files, "m").version.digest}
    (files / "config.json").write_text("{}")
    digests.add(registry.push(files, "m").version.digest)
    (files / "config.json").rename(files / "settings.json")
    digests.add(registry.push(files, "m").version.digest)
    (files / "sub" / "empty.txt").rename(files / "empty.txt")
    digests.add(registry.push(files, "m").version.digest)
    assert len(digests) == 4
    (files / "empty.txt").rename(files / "sub" / "empty.txt")
    (files / "settings.json").rename(files / "config.json")
    assert registry.push(files, "m").version.number == 2


def test_modes_and_times_do_not_matter(registry: Registry, tmp_path: Path) -> None:
    files = make_model(tmp_path / "a", tensors=1)
    first = registry.push(files, "m")
    (files / "config.json").chmod(0o755)
    os.utime(files / "config.json", (1, 1))
    assert registry.push(files, "m").version == first.version


def test_only_the_changed_tensor_travels(registry: Registry, tmp_path: Path) -> None:
    registry.push(make_model(tmp_path / "a"), "m")
    before = packs(tmp_path / "registry")
    second = registry.push(make_model(tmp_path / "b", changed=3), "m")
    after = packs(tmp_path / "registry")
    assert second.bytes_new == MIB
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert MIB < second.bytes_uploaded < MIB + 200
    third = registry.push(make_model(tmp_path / "c", seed=2), "m")
    assert third.bytes_new > 5 * MIB
    assert sound(registry, "m")


def test_a_longer_header_moves_no_tensor(registry: Registry, tmp_path: Path) -> None:
    """Chunks are cut from where the tensors lie, so metadata is all that travels."""
    files = make_model(tmp_path / "a")
    registry.push(files, "m")
    weights = files / "model.safetensors"
    data = weights.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length]) | {"__metadata__": {"note": "n" * 1000}}
    text = json.dumps(header).encode()
    weights.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    assert registry.push(files, "m").bytes_new == 8 + len(text)


def test_chunks_of_older_versions_are_found_too(registry: Registry, tmp_path: Path) -> None:
    registry.push(make_model(tmp_path / "a", seed=1), "m")
    registry.push(make_model(tmp_path / "b", seed=2), "m")
    assert registry.push(make_model(tmp_path / "c", seed=1, changed=0), "m").bytes_new == MIB


def test_a_chunk_that_is_there_twice_travels_once(registry: Registry, tmp_path: Path) -> None:
    files = tmp_path / "a"
    files.mkdir()
    content = os.urandom(3 * MIB)
    (files / "one.bin").write_bytes(content)
    (files / "two.bin").write_bytes(content)
    report = registry.push(files, "m")
    assert (report.bytes_total, report.bytes_new) == (6 * MIB, 3 * MIB)
    assert sound(registry, "m")


def test_the_same_files_in_two_models(registry: Registry, tmp_path: Path) -> None:
    """They share every object, so the second push must leave the first one's bundle alone."""
    files = make_model(tmp_path / "a", tensors=1)
    first = registry.push(files, "m")
    second = registry.push(files, "n")
    assert (second.created, second.version.digest) == (True, first.version.digest)
    assert second.version.bundle == first.version.bundle
    assert second.bytes_uploaded == 0
    assert sound(registry, "m", "n")


def test_a_damaged_bundle_in_the_way_is_replaced(registry: Registry, tmp_path: Path) -> None:
    files = make_model(tmp_path / "a", tensors=1)
    digest = Digest.parse(registry.push(files, "m").version.digest)
    registry.origin.put(bundle_key(digest), b"{}")
    registry.push(files, "n")
    assert sound(registry, "n")


def test_the_same_push_from_many_threads(registry: Registry, tmp_path: Path) -> None:
    files = make_model(tmp_path / "a", tensors=2)
    start = threading.Barrier(4)
    reports, errors = [], []

    def push() -> None:
        start.wait(10)
        try:
            reports.append(registry.push(files, "m"))
        except IntegrityError as error:
            errors.append(error)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert {report.version.number for report in reports} == {1}
    assert [report.created for report in reports].count(True) == 1
    assert sound(registry, "m")


def test_a_pack_that_the_origin_lost_is_uploaded_again(registry: Registry, tmp_path: Path) -> None:
    registry.push(make_model(tmp_path / "a"), "m")
    for key in packs(tmp_path / "registry"):
        registry.origin.delete(key)
    registry.push(make_model(tmp_path / "b", changed=3), "m")
    newest = registry.versions("m")[:1]
    policy = registry.control.policy()
    assert verify_versions(registry.origin, policy, newest, deep=True).problems == []


def test_a_hint_that_the_origin_lost_costs_time_only(registry: Registry, tmp_path: Path) -> None:
    first = registry.push(make_model(tmp_path / "a"), "m")
    registry.origin.delete(hint_key(Digest.parse(first.version.digest)))
    assert registry.push(make_model(tmp_path / "b", changed=3), "m").bytes_new > 5 * MIB


def test_the_chunk_size_is_kept_along_the_line(registry: Registry, tmp_path: Path) -> None:
    first = registry.push(make_model(tmp_path / "a", tensors=1), "m")
    second = registry.push(make_model(tmp_path / "b", tensors=2), "m")
    assert first.version.chunk_bytes == second.version.chunk_bytes == limits.CHUNK_SMALL
    model = registry.control.find_model(ModelName("m"))
    assert model is not None
    assert model.chunk_bytes == limits.CHUNK_SMALL


def test_chunks_of_small_versions_have_marks(registry: Registry, tmp_path: Path) -> None:
    files = tmp_path / "a"
    files.mkdir()
    data = os.urandom(600_000)
    (files / "w.bin").write_bytes(data)
    manifest = manifest_of(registry, registry.push(files, "m"))
    chunks = [
        (data[at : at + chunk.length], chunk) for at, chunk in manifest.files[0].placed_chunks()
    ]
    assert [chunk.length for _, chunk in chunks] == [262_144, 262_144, 75_712]
    for content, chunk in chunks:
        ends = range(limits.CHUNK_PART, chunk.length, limits.CHUNK_PART)
        assert chunk.marks == b"".join(blake3(content[:end]).digest()[:8] for end in ends)


def test_chunks_of_others_have_none(registry: Registry, tmp_path: Path) -> None:
    files = tmp_path / "a"
    files.mkdir()
    with (files / "w.bin").open("wb") as file:
        file.truncate(limits.SMALL_VERSION_MAX)
    manifest = manifest_of(registry, registry.push(files, "m"))
    assert all(chunk.marks == b"" for chunk in manifest.files[0].chunks)


def manifest_of(registry: Registry, report: PushReport) -> Manifest:
    digest = Digest.parse(report.version.digest)
    return Manifest.parse(registry.origin.get(manifest_key(digest), bytes_max=MIB))


def test_more_than_one_pack(registry: Registry, tmp_path: Path) -> None:
    files = tmp_path / "a"
    files.mkdir()
    with (files / "w.bin").open("wb") as file:
        for _ in range(130):
            file.write(os.urandom(MIB))
    seen: list[tuple[str, int, int]] = []
    report = registry.push(files, "m", progress=lambda *told: seen.append(told))
    assert len(packs(tmp_path / "registry")) == 3
    assert report.bytes_total == 130 * MIB
    for phase in ("hash", "upload"):
        assert max(done for told, done, _ in seen if told == phase) == 130 * MIB
        assert {total for told, _, total in seen if told == phase} == {130 * MIB}
    assert sound(registry, "m")


def test_the_manifest_in_the_origin_is_the_identity(registry: Registry, tmp_path: Path) -> None:
    version = registry.push(make_model(tmp_path / "a", tensors=1), "m").version
    digest = Digest.parse(version.digest)
    data = registry.origin.get(manifest_key(digest), bytes_max=MIB)
    manifest = Manifest.parse(data)
    assert manifest.digest == digest
    assert [file.path for file in manifest.files] == [
        "config.json", "model.safetensors", "sub/empty.txt",
    ]  # fmt: skip
    assert (manifest.size, len(manifest.files)) == (version.bytes, version.files)


def test_what_git_keeps_is_left_out(registry: Registry, tmp_path: Path) -> None:
    files = make_model(tmp_path / "a", tensors=1)
    first = registry.push(files, "m")
    (files / ".git").mkdir()
    (files / ".git" / "HEAD").write_text("ref")
    (files / ".gitattributes").write_text("* lfs")
    assert registry.push(files, "m").version == first.version
    (files / "sub" / ".gitignore").write_text("x")
    assert registry.push(files, "m").version.files == 4


@pytest.mark.parametrize(
    ("tags", "notes"),
    [
        ({"": "v"}, ""), ({"k" * 129: "v"}, ""), ({"ä": "v"}, ""), ({"k": "v" * 4097}, ""),
        ({f"k{n}": "v" for n in range(65)}, ""), ({}, "n" * 65_537),
    ],
)  # fmt: skip
def test_words_are_bounded(
    registry: Registry, tmp_path: Path, tags: dict[str, str], notes: str
) -> None:
    with pytest.raises(InvalidInput):
        registry.push(make_model(tmp_path / "a", tensors=1), "m", tags=tags, notes=notes)
    assert registry.models() == []
    assert objects(tmp_path / "registry") == {}


def test_without_a_publishers_key(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "registry" / "keys" / "publisher.pem").unlink()
    with pytest.raises(NotFound, match=r"no key 'publisher'.*--keys"):
        registry.push(make_model(tmp_path / "a", tensors=1), "m")
    assert objects(tmp_path / "registry") == {}


def test_a_file_that_changes_while_it_is_hashed(registry: Registry, tmp_path: Path) -> None:
    files = tmp_path / "a"
    files.mkdir()
    weights = files / "w.bin"
    weights.write_bytes(bytes(4 * MIB))

    def write_meanwhile(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("hash", MIB):
            with weights.open("r+b") as file:
                file.write(b"changed")

    with pytest.raises(InvalidModelFiles, match=r"w\.bin changed while it was read: push again"):
        registry.push(files, "m", progress=write_meanwhile)
    assert registry.models() == []


@pytest.mark.parametrize("how", ["changed", "shorter", "gone"])
def test_a_file_that_changes_between_hashing_and_upload(
    registry: Registry, tmp_path: Path, how: str
) -> None:
    files = tmp_path / "a"
    files.mkdir()
    weights = files / "w.bin"
    weights.write_bytes(os.urandom(2 * MIB))
    found = scan_directory(files)
    manifest = build_manifest(found, MIB, silent)
    if how == "gone":
        weights.unlink()
    else:
        with weights.open("r+b") as file:
            file.write(b"changed" if how == "changed" else b"")
            file.truncate(2 * MIB if how == "changed" else MIB)
    uploader = Uploader(registry.origin, manifest, found, silent)
    with pytest.raises(InvalidModelFiles, match=r"w\.bin .*: push again"):
        uploader.upload(manifest.unique_chunks.values())
    assert objects(tmp_path / "registry") == {}
