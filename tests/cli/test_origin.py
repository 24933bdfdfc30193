"""`cachctl origin verify`, embedded and behind an authority, with a node's cache; and its end by
kill -9."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import registry_core
from tests.cli.cachctl import cachctl
from tests.models import make_model
from tests.repair.rig import objects
from tests.system.rig import Rig


def test_found_and_put_back(home: Path, tmp_path: Path) -> None:
    for number in range(2):
        files = make_model(tmp_path / f"v{number}", tensors=2, changed=number)
        assert cachctl("push", files, "--model", "m", registry=home).code == 0
    origin, copy = home / "origin", tmp_path / "copy"
    before = objects(origin)
    shutil.copytree(origin, copy)
    assert cachctl("origin", "verify", registry=home).out == "2 version(s)\nclean\n"
    shutil.rmtree(origin / "packs")
    found = cachctl("origin", "verify", registry=home)
    assert (found.code, "m/1: packs/" in found.out, "is missing" in found.out) == (7, True, True)
    alone = cachctl("origin", "verify", "--repair", registry=home)
    assert (alone.code, "lost: " in alone.out) == (7, True)
    assert alone.out.endswith("\n0 version(s) healed, 2 not\n")
    said = cachctl(
        "origin", "verify", "--repair", "--from", copy.as_uri(), "--reason", "disk swap",
        registry=home,
    )  # fmt: skip
    assert (said.code, "put back: packs/" in said.out) == (0, True)
    assert said.out.endswith("\n2 version(s) healed\n")
    assert objects(origin) == before
    whole = cachctl("origin", "verify", "--deep", "--json", registry=home)
    sizes = sum(len(data) for key, data in before.items() if key.startswith("packs/"))
    assert whole.json == {"versions": 2, "bytes_read": sizes, "clean": True, "found": []}
    reasons = {
        entry["reason"]
        for entry in cachctl("history", "m", "--json", registry=home).json["entries"]
    }
    assert "disk swap" in reasons


def test_a_node_gives_back_what_an_authoritys_origin_lost(rig: Rig, tmp_path: Path) -> None:
    keys = ("--keys", rig.folder / "registry" / "keys")
    with rig.connect() as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    origin = rig.folder / "registry" / "origin"
    before = objects(origin)
    shutil.rmtree(origin / "packs")
    shutil.rmtree(origin / "manifests")
    said = cachctl(
        "origin", "verify", "--repair", "--from-node", rig.folder / "n1", "--json", *keys,
        registry=rig.url,
    )  # fmt: skip
    assert (said.code, said.json["found"][0]["lost"]) == (0, [])
    after = objects(origin)
    assert {key: after[key] for key in before if key.startswith(("packs/", "manifests/"))} == {
        key: data for key, data in before.items() if key.startswith(("packs/", "manifests/"))
    }


def test_refusals(home: Path, tmp_path: Path) -> None:
    lone = cachctl("origin", "verify", "--from", "file:///tmp", registry=home)
    assert (lone.code, "add --repair" in lone.err) == (2, True)
    ours = ("origin", "verify", "--repair")
    missing = cachctl(*ours, "--from", (tmp_path / "none").as_uri(), registry=home)
    assert (missing.code, "no such directory" in missing.err) == (3, True)
    assert not (tmp_path / "none").exists()
    assert cachctl(*ours, "--from-node", tmp_path, registry=home).code == 3
    assert cachctl("origin", "verify", "--after", "m/1", registry=home).code == 3
    assert cachctl("origin", "verify", "--after", "???", registry=home).code == 2


@pytest.mark.slow
def test_killed_it_is_simply_run_again(home: Path, tmp_path: Path) -> None:
    with registry_core.open(home) as registry:
        for number in range(6):
            registry.push(make_model(tmp_path / f"v{number}", seed=number, tensors=8), "m")
    origin, copy = home / "origin", tmp_path / "copy"
    before = objects(origin)
    shutil.copytree(origin, copy)
    shutil.rmtree(origin / "packs")
    command = [sys.executable, "-m", "cachctl", "--registry", str(home), "origin", "verify",
               "--repair", "--from", copy.as_uri()]  # fmt: skip
    kills = 0
    for wanted in range(1, 5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if len(list(origin.glob("packs/*/*"))) >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.wait(60)
    assert kills == 4
    assert cachctl("origin", "verify", "--repair", "--from", copy.as_uri(), registry=home).code == 0
    after = objects(origin)
    assert {key: after[key] for key in before} == before
    assert cachctl("verify", "--deep", registry=home).code == 0
    assert cachctl("gc", registry=home).code == 0
