"""`cachctl verify` finds damage wherever it lies, changes nothing, and disturbs nobody."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry_core
from cachctl.demo.fleet import Fleet
from tests.cli.cachctl import Ran, cachctl
from tests.models import make_model
from tests.system.rig import Rig


@pytest.fixture
def pushed(home: Path, tmp_path: Path) -> Path:
    with registry_core.open(home) as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
    return home


def flip_a_bit(file: Path, at: int = 100) -> None:
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def state_of(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock.mdb", "lock")
    }


def found(ran: Ran, *said: str) -> None:
    """One problem, which says all this, and the exit code for it."""
    assert ran.code == 7, ran.err
    assert ran.json["clean"] is False
    (problem,) = ran.json["problems"]
    for part in said:
        assert part in problem


@pytest.mark.parametrize(
    ("kind", "deep"),
    [("packs", True), ("manifest", False), ("bundle", False)],
)
def test_damage_in_the_origin(pushed: Path, kind: str, deep: bool) -> None:
    origin = pushed / "origin"
    files = [path for path in origin.rglob("*") if path.is_file()]
    if kind == "packs":
        damaged = next(path for path in files if path.parent.parent.name == "packs")
    else:
        suffix = ".bundle" if kind == "bundle" else ""
        damaged = next(
            path for path in files
            if path.parent.parent.name == "manifests" and path.suffix == suffix
        )  # fmt: skip
    flip_a_bit(damaged)
    before = state_of(pushed)
    words = ["--deep"] if deep else []
    found(cachctl("verify", *words, "--json", registry=pushed), "m/1", "damaged")
    assert state_of(pushed) == before
    plain = cachctl("verify", *words, registry=pushed)
    assert plain.code == 7
    assert "problem: m/1" in plain.out


def test_a_pack_that_is_gone_is_noticed_without_reading(pushed: Path) -> None:
    shutil.rmtree(pushed / "origin" / "packs")
    found(cachctl("verify", "--json", registry=pushed), "m/1", "is missing")


def test_show_refuses_a_damaged_manifest(pushed: Path) -> None:
    manifests = (pushed / "origin" / "manifests").rglob("*")
    flip_a_bit(next(path for path in manifests if path.is_file() and not path.suffix))
    refused = cachctl("show", "m/1", "--json", registry=pushed)
    assert refused.code == 7
    assert refused.json["error"]["code"] == "integrity"


def test_a_directory_that_is_no_node_is_left_alone(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    before = state_of(folder)
    refused = cachctl("verify", "--node", folder)
    assert refused.code == 3
    assert "no node's data directory" in refused.err
    assert state_of(folder) == before
    assert not (folder / "cache").exists()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Authority and one node, which serves m@production."""
    with Fleet(tmp_path) as fleet:
        rig = Rig.begin(tmp_path, fleet)
        with rig.connect() as registry:
            registry.push(make_model(tmp_path / "v1"), "m")
            registry.promote("m@production", 1)
        rig.start_node("n1")
        rig.wait_serving("n1", 1)
        yield rig


@pytest.mark.slow
def test_a_nodes_disk(rig: Rig) -> None:
    data = rig.folder / "n1"

    def verify() -> Ran:
        return cachctl("verify", "--node", data, "--json")

    beside = verify()
    assert (beside.code, beside.json["problems"]) == (0, []), "works beside the running node"
    assert beside.json["versions"] == 1
    assert beside.json["bytes_read"] > 6_000_000
    rig.fleet.kill("n1")
    assert verify().code == 0

    blob = max((data / "cache" / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    flip_a_bit(blob, at=2_000_000)
    before = state_of(data)
    found(verify(), str(blob), "restart the node")
    assert state_of(data) == before

    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    assert verify().code == 0, "what the message said helps"


@pytest.mark.slow
def test_documents_and_lengths_on_a_nodes_disk(rig: Rig) -> None:
    data = rig.folder / "n1"
    rig.fleet.kill("n1")
    sound = rig.folder / "sound"
    shutil.copytree(data / "cache", sound)

    def verify_after(spoil: str) -> Ran:
        shutil.rmtree(data / "cache")
        shutil.copytree(sound, data / "cache")
        (version,) = (data / "cache" / "versions").iterdir()
        (manifest,) = (p for p in (data / "cache" / "documents").iterdir() if not p.suffix)
        if spoil == "manifest":
            flip_a_bit(manifest)
        elif spoil == "no manifest":
            manifest.unlink()
        elif spoil == "shorter":
            (version / "config.json").chmod(0o644)
            os.truncate(version / "config.json", 3)
        elif spoil == "missing":
            version.chmod(0o755)
            (version / "config.json").unlink()
        return cachctl("verify", "--node", data, "--json")

    assert verify_after("nothing").code == 0
    found(verify_after("manifest"), "is not that of its version")
    found(verify_after("no manifest"), "without its manifest")
    found(verify_after("shorter"), "config.json is damaged or missing")
    found(verify_after("missing"), "config.json is damaged or missing")


def test_an_authority_of_another_root_is_refused(rig: Rig, tmp_path: Path) -> None:
    right = rig.folder / "registry" / "root.json"
    assert cachctl("verify", "--root", right, registry=rig.url).code == 0
    registry_core.init(tmp_path / "other").close()
    wrong = cachctl("verify", "--root", tmp_path / "other" / "root.json", registry=rig.url)
    assert wrong.code == 7
    assert "another root of trust" in wrong.err
    assert cachctl("verify", "--root", right, registry=rig.folder / "registry").code == 2
