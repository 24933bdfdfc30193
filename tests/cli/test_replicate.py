"""`cachctl region` and `cachctl replicate`, embedded and behind an authority; and kill -9."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import registry_core
from tests.cli.cachctl import cachctl, environment
from tests.models import make_model
from tests.repair.rig import flip_a_bit, packs_in
from tests.replicate.rig import held, home_objects, is_visible, unsound, version_objects
from tests.system.rig import Rig


@pytest.mark.slow
def test_a_second_region(home: Path, tmp_path: Path) -> None:
    eu = (tmp_path / "eu").as_uri()
    assert cachctl("push", make_model(tmp_path / "v1"), "--model", "m", registry=home).code == 0
    secret = cachctl(
        "region", "add", "eu", "--origin", eu, "--origin-option", "secret_access_key=x",
        registry=home,
    )  # fmt: skip
    assert (secret.code, "environment" in secret.err) == (2, True)
    made = cachctl("region", "add", "eu", "--origin", eu, registry=home)
    assert made.out.endswith("next: cachctl replicate --all --to eu\n")
    planned = cachctl("replicate", "--all", "--to", "eu", "--dry-run", registry=home)
    assert "1 version(s) to be in eu: 6.3 MB to be copied, 0 B there already" in planned.out
    done = cachctl("replicate", "m", "--to", "eu", "--json", registry=home).json
    assert (done["bytes_there"], done["versions"][0]["version"]) == (0, "m/1")
    again = cachctl("replicate", "m/1", "--to", "eu", registry=home)
    assert again.out.startswith("m/1: 0 B copied, 6.3 MB there already\n")
    shown = cachctl("region", "list", "--json", registry=home).json
    assert shown["home"]["region"] == "local"
    assert [(one["region"], one["versions"]) for one in shown["others"]] == [("eu", 1)]
    assert "local (home)" in cachctl("region", "list", registry=home).out
    assert cachctl("region", "remove", "eu", registry=home).out == "eu is removed\n"
    assert cachctl("region", "remove", "eu", registry=home).code == 3


def test_refusals(home: Path, tmp_path: Path) -> None:
    assert cachctl("replicate", "--to", "eu", registry=home).code == 2
    assert cachctl("replicate", "m", "--all", "--to", "eu", registry=home).code == 2
    assert cachctl("replicate", "--all", "--to", "eu", registry=home).code == 3
    assert cachctl("replicate", "--all", "--to", "local", registry=home).code == 2
    assert cachctl("region", "add", "No!", "--origin", "file:///x", registry=home).code == 2
    assert cachctl("region", "add", "local", "--origin", tmp_path.as_uri(), registry=home).code == 4


def test_the_home_regions_name_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "registry"
    assert cachctl("init", home, "--region", "eu", "--json").json["region"] == "eu"
    assert cachctl("region", "list", "--json", registry=home).json["home"]["region"] == "eu"
    assert cachctl("verify", registry=home).code == 0
    taken = cachctl("region", "add", "eu", "--origin", tmp_path.as_uri(), registry=home)
    assert (taken.code, "home region" in taken.err) == (4, True)


def test_a_damaged_origin_behind_an_authority(rig: Rig, tmp_path: Path, seed: int) -> None:
    """One version is refused and named, the other arrives; the exit code says so."""
    keys = ("--keys", rig.folder / "registry" / "keys")
    with rig.connect() as registry:
        for number in range(2):
            registry.push(make_model(tmp_path / f"v{number}", seed=number, tensors=2), "m")
        first, second = (registry.resolve(f"m/{number}").version for number in (1, 2))
        folder = tmp_path / "registry" / "origin"
        (own,) = packs_in(folder, second) - packs_in(folder, first)
        pack = folder / own
        flip_a_bit(pack, random.Random(seed), before=pack.stat().st_size // 2)
        cachctl("region", "add", "eu", "--origin", (tmp_path / "eu").as_uri(), *keys,
                registry=rig.url)  # fmt: skip
        done = cachctl("replicate", "--all", "--to", "eu", *keys, registry=rig.url)
        assert done.code == 7
        assert f"m/2: not copied: {own} in file://" in done.out
        assert done.out.rstrip().endswith("; 1 not")
        assert held(registry) == ["m/1"]
        assert unsound(registry, registry.regions.origin("eu"), ["m/1"]) == []


@pytest.mark.slow
def test_killed_it_goes_on_where_it_was(home: Path, tmp_path: Path) -> None:
    eu = tmp_path / "eu"
    with registry_core.open(home) as registry:
        for number in range(6):
            registry.push(make_model(tmp_path / f"v{number}", seed=number, tensors=8), "m")
        registry.regions.add("eu", eu.as_uri())
    command = [sys.executable, "-m", "cachctl", "replicate", "--all", "--to", "eu"]
    kills, seen = 0, dict[Path, int]()
    for wanted in range(1, 5):
        process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if len(list(eu.glob("packs/*/*"))) >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.wait(60)
        there = {path: path.stat().st_ino for path in eu.glob("packs/*/*") if "#" not in path.name}
        assert {path: there[path] for path in seen} == seen, "what was there was not written again"
        seen = there
        with registry_core.open(home) as registry:
            visible = [
                f"m/{version.number}"
                for version in registry.versions("m")
                if is_visible(eu, version)
            ]
            assert unsound(registry, registry.regions.origin("eu"), visible) == []
            assert set(held(registry)) <= set(visible)
    assert kills == 4
    assert cachctl("replicate", "--all", "--to", "eu", registry=home).code == 0
    with registry_core.open(home) as registry:
        assert {key: data for key, data in version_objects(eu).items() if "#" not in key} == (
            home_objects(registry)
        )
        assert len(held(registry)) == 6
        assert unsound(registry, registry.regions.origin("eu"), held(registry)) == []
    assert cachctl("gc", registry=home).code == 0
    assert cachctl("verify", "--deep", registry=home).code == 0
