"""With the authority or the origin away, what is here goes on, and catches up afterwards."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from cachctl.verification import verify_node
from registry_core.push.progress import silent
from tests.models import make_model
from tests.system.rig import Rig, eventually
from tests.system.test_memory import on_node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_node_restarts_and_serves_without_the_authority(tmp_path: Path, rig: Rig) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    rig.fleet.kill("authority")
    rig.fleet.kill("n1")

    rig.start_node("n1")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")

    rig.start_authority()
    with rig.connect() as registry:
        registry.promote("m@production", 2)
    rig.wait_worker("w1", 2, "2.0")
    rig.assert_unharmed("w1")


def test_the_authority_dies_while_nodes_fetch(tmp_path: Path, rig: Rig) -> None:
    """What it told before is enough: they get the version, and serve it."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.bin").write_bytes(random.Random(5).randbytes(8 << 20))
    caches = [rig.folder / name / "cache" for name in ("n1", "n2")]
    for name in ("n1", "n2"):
        rig.start_node(name, "--max-download", "24mbit")  # three seconds
    with rig.connect() as registry:
        registry.push(model, "m")
        registry.promote("m@production", 1)
    eventually(lambda: all(any((cache / "partial").glob("*.have")) for cache in caches))
    rig.fleet.kill("authority")
    assert not any(any((cache / "versions").iterdir()) for cache in caches), "it was in the middle"
    for worker, name in (("w1", "n1"), ("w2", "n2")):
        rig.start_worker(worker, name)
    for worker in ("w1", "w2"):
        rig.wait_worker(worker, 1, "1.0")
        rig.assert_unharmed(worker)


def test_a_second_node_needs_no_origin(tmp_path: Path, rig: Rig) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    first = rig.wait_serving("n1", 1)
    assert first["bytes_from_origin"] > 6_000_000
    shutil.rmtree(rig.folder / "registry" / "origin" / "packs")
    rig.start_node("n2")
    second = rig.wait_serving("n2", 1)
    assert (second["bytes_from_origin"], second["bytes_from_peers"]) == (
        0, first["bytes_from_origin"],
    )  # fmt: skip


def test_damage_in_the_origin_is_refused_and_nothing_becomes_visible(
    tmp_path: Path, rig: Rig
) -> None:
    """One bit of a pack, of the manifest, of the bundle; mended, the node goes on by itself."""
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)
    origin = rig.folder / "registry" / "origin"
    pack = next(path for path in (origin / "packs").rglob("*") if path.is_file())
    bundle = next((origin / "manifests").rglob("*.bundle"))
    for name, file in (("n1", pack), ("n2", bundle), ("n3", bundle.with_suffix(""))):
        sound = file.read_bytes()
        damaged = bytearray(sound)
        damaged[len(damaged) // 3] ^= 4
        file.write_bytes(damaged)
        rig.start_node(name)

        def refused(name: str = name) -> bool:
            stage = rig.stage_on(name)
            return stage is not None and bool(stage["detail"])

        rig.wait(refused, f"{name} says why it waits", name)
        stage = rig.stage_on(name)
        assert stage is not None
        assert stage["state"] in ("refused", "waiting")
        assert stage["observed"] is None
        assert not any((rig.folder / name / "cache" / "versions").iterdir())
        file.write_bytes(sound)
        rig.wait_serving(name, 1)
        rig.fleet.kill(name)


def test_bit_rot_in_the_cache_is_found_at_start_and_fetched_again(tmp_path: Path, rig: Rig) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    rig.fleet.kill("n1")
    cache = rig.folder / "n1" / "cache"
    blob = max((cache / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.seek(3_000_000)
        byte = file.read(1)
        file.seek(3_000_000)
        file.write(bytes([byte[0] ^ 16]))
    rig.start_node("n1")
    original = (tmp_path / "v1" / "model.safetensors").read_bytes()

    def mended() -> bool:
        return [path.read_bytes() for path in cache.glob("versions/*/model.safetensors")] == [
            original
        ]

    rig.wait(mended, "the damaged file was fetched again", "n1")
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")


def test_a_file_deleted_under_a_running_node_is_there_when_its_version_is_wanted_again(
    tmp_path: Path, rig: Rig
) -> None:
    rig.start_node("n1", "--grace-s", "0")
    rig.start_worker("w1", "n1")
    with rig.connect() as registry:
        for number in (1, 2, 3):
            registry.push(make_model(tmp_path / f"v{number}", changed=number), "m")
            registry.promote("m@production", number)
            rig.wait_worker("w1", number, f"{number}.0")
        digest = registry.versions("m")[-1].digest
        rig.wait(
            lambda: digest not in {one["digest"] for one in on_node(rig)["memory"]},
            "version 1 is let go of", "n1",
        )  # fmt: skip
        folder = rig.folder / "n1" / "cache" / "versions" / digest.removeprefix("sha256:")
        target = folder / "model.safetensors"
        inode = target.stat().st_ino
        folder.chmod(0o755)
        target.unlink()
        for blob in (rig.folder / "n1" / "cache" / "blobs").iterdir():
            if blob.stat().st_ino == inode:
                blob.unlink()
        registry.promote("m@production", 1)
    rig.wait_worker("w1", 1, "4.0")
    rig.assert_unharmed("w1")
    assert target.read_bytes() == (tmp_path / "v1" / "model.safetensors").read_bytes()


def test_bit_rot_in_a_file_that_two_versions_share_is_mended_in_both(
    tmp_path: Path, rig: Rig
) -> None:
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.push(make_model(tmp_path / "v2", changed=2), "m")
        registry.promote("m@production", 1)
        rig.start_node("n1")
        rig.wait_serving("n1", 1)
        registry.promote("m@production", 2)
        rig.wait_serving("n1", 2)
    rig.fleet.kill("n1")
    cache = rig.folder / "n1" / "cache"
    original = (tmp_path / "v1" / "config.json").read_bytes()
    (blob,) = (path for path in (cache / "blobs").iterdir() if path.read_bytes() == original)
    blob.chmod(0o644)
    with blob.open("r+b") as file:
        file.write(b"X" * len(original))
    rig.start_node("n1")

    def mended() -> bool:
        files = list(cache.glob("versions/*/config.json"))
        return [path.read_bytes() for path in files] == [original] * 2

    rig.wait(mended, "both versions have the file as it was", "n1")
    rig.fleet.kill("n1")
    assert verify_node(rig.folder / "n1", silent).problems == []
