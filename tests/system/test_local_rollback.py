"""`cachctl rollback --local`: a host goes back by itself, and never anywhere else than to the other
version of its current move."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cachctl import Ran, cachctl
from tests.models import make_model
from tests.system.rig import Rig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def local(rig: Rig, *more: str, node: str = "n1", stage: str = "m@production") -> Ran:
    run = str(rig.run_folder(node))
    return cachctl("rollback", stage, "--local", "--run", run, "--json", *more)


def went(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    return ran.json


def push_versions(rig: Rig, folder: Path, count: int) -> None:
    with rig.connect() as registry:
        for number in range(1, count + 1):
            registry.push(make_model(folder / f"v{number}", changed=number - 1), "m")
        registry.promote("m@production", 1)


def begin(rig: Rig, folder: Path, versions: int = 2) -> None:
    """Version 2 in force, 1 resident and loaded, one worker."""
    push_versions(rig, folder, versions)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    rig.start_worker("w1", "n1")
    rig.wait_worker("w1", 1, "1.0")
    with rig.connect() as registry:
        registry.promote("m@production", 2)
    rig.wait_worker("w1", 2, "2.0")
    rig.wait(lambda: bool((rig.stage_on("n1") or {}).get("standby")), "1 is on standby", "n1")


def test_it_needs_nobody_and_survives_a_restart(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path, versions=3)
    rig.fleet.kill("authority")
    shutil.move(rig.folder / "registry" / "origin", rig.folder / "away")

    report = went(local(rig, "--reason", "no network"))
    rig.wait_worker("w1", 1, "2.1")
    assert (report["state"], report["observed"]["number"]) == ("diverged", 1)
    assert report["desired"]["number"] == 2
    assert report["local"]["at"] == "2.0"
    assert (report["local"]["reason"], report["local"]["uid"]) == ("no network", os.getuid())
    assert report["switch_ms"] is not None
    assert went(local(rig))["flip"] == report["flip"], "asked again, it is so already"

    rig.fleet.kill("n1")
    rig.start_node("n1")
    again = went(local(rig))
    assert (again["state"], again["flip"]) == ("diverged", report["flip"])
    assert again["local"]["since_ms"] == report["local"]["since_ms"]

    undone = went(local(rig, "--undo"))
    rig.wait_worker("w1", 2, "2.0")
    assert (undone["state"], undone["local"]) == ("serving", None)
    assert local(rig, "--undo").code == 4

    went(local(rig))
    shutil.move(rig.folder / "away", rig.folder / "registry" / "origin")
    rig.start_authority()
    rig.wait(
        lambda: (rig.stage_on("n1") or {"state": ""})["state"] == "diverged",
        "the authority hears of it", "n1",
    )  # fmt: skip
    said = cachctl("status", "m", registry=rig.url)
    assert "rolled back on this host at 2.0" in said.out

    with rig.connect() as registry:
        registry.promote("m@production", 3)
    rig.wait_worker("w1", 3, "3.0")
    stage = rig.wait_serving("n1", 3, "3.0")
    assert stage["local"]["ended"] == "3.0"
    said = cachctl("status", "m", registry=rig.url)
    assert "local rollback at 2.0 ended at 3.0" in said.out
    rig.assert_unharmed("w1")
    log = (rig.folder / "n1.log").read_text(encoding="utf-8")
    for words in ('"local rollback"', '"local undo"', "local rollback ended", "no network"):
        assert words in log


def test_the_logs_next_choice_takes_over(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path)
    report = went(local(rig))
    with rig.connect() as registry:
        registry.rollback("m@production")
        stage = rig.wait_serving("n1", 1, "2.1")
        assert stage["flip"] == report["flip"], "the same version stays in force"
        assert stage["local"]["ended"] == "2.1"
        refused = local(rig)
        assert refused.code == 4
        assert "rolled back for all hosts already" in refused.err
        registry.rollback("m@production")
        rig.wait_worker("w1", 2, "2.2")
        went(local(rig))
        rig.wait_worker("w1", 1, "2.3")
    rig.assert_unharmed("w1")


def test_kills_around_a_local_rollback(tmp_path: Path, rig: Rig, seed: int) -> None:
    """Whatever was acknowledged holds after kill -9, and nothing but the two versions is served."""
    begin(rig, tmp_path)
    rng = random.Random(seed)
    rig.fleet.kill("authority")
    rolled = False
    for _ in range(5):
        for _ in range(rng.randrange(1, 4)):
            went(local(rig, *(["--undo"] if rolled else [])))
            rolled = not rolled
        rig.fleet.kill("n1")
        rig.start_node("n1")
        rig.wait_worker("w1", *((1, "2.1") if rolled else (2, "2.0")))
        assert (went(local(rig)) if rolled else {"state": "diverged"})["state"] == "diverged"
    rig.assert_unharmed("w1")
    lines = [line for line in rig.worker_lines("w1") if "guard" in line]
    assert {(line["number"], line["guard"]) for line in lines} <= {
        (1, "1.0"), (2, "2.0"), (1, "2.1"),
    }  # fmt: skip


def test_what_cannot_be_is_refused(tmp_path: Path, rig: Rig) -> None:
    nobody = local(rig)
    assert nobody.code == 8
    assert "start it (`cachd node" in nobody.err

    push_versions(rig, tmp_path, 2)
    rig.start_node("n1")
    rig.wait_serving("n1", 1)
    first = local(rig)
    assert first.code == 4
    assert "1.0 is its first move" in first.err
    unknown = local(rig, stage="other@production")
    assert unknown.code == 3
    assert "it serves m@production" in unknown.err
    assert local(rig, "--undo").code == 4
    assert cachctl("rollback", "m@production", "--undo", registry=rig.url).code == 2

    with rig.connect() as registry:
        version = next(one for one in registry.versions("m") if one.number == 2)
        registry.promote("m@production", 2)
    rig.wait_serving("n1", 2)
    for document in (rig.folder / "registry" / "origin" / "manifests").rglob("*"):
        if document.is_file() and version.digest.removeprefix("sha256:") not in document.name:
            document.unlink()
    rig.fleet.kill("n1")
    rig.start_node("n2")
    rig.wait_serving("n2", 2)
    absent = local(rig, node="n2")
    assert absent.code == 4
    assert "version 1, the previous one of m@production, is not resident" in absent.err


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be somebody else")
def test_others_may_not(tmp_path: Path, rig: Rig) -> None:
    begin(rig, tmp_path)
    path = rig.run_folder("n1") / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    path.parent.chmod(0o755)
    words = ("rollback", "m@production", "--local", "--socket", str(path))
    refused = cachctl(*words, uid=65534)
    assert refused.code == 6
    assert "use sudo" in refused.err
    path.chmod(0o666)
    refused = cachctl(*words, uid=65534)
    assert refused.code == 6
    assert "user 65534 may not" in refused.err
    stage = rig.stage_on("n1")
    assert stage is not None
    assert stage["state"] == "serving"
