"""`cachctl events`, on a registry in this process and through an authority that goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import registry_core
from tests.cli.cachctl import cachctl
from tests.models import make_model


def test_events(tmp_path: Path) -> None:
    home = tmp_path / "registry"
    with registry_core.init(home, actor="ann") as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        registry.promote("m@production", 1, reason="first")
    shown = cachctl("events", registry=home)
    assert shown.code == 0
    assert "model.stage.moved  model/m/stage/production  ann  first" in shown.out
    only = cachctl("events", "--type", "model.stage", "--json", registry=home).out.splitlines()
    assert [json.loads(line)["data"]["version"] for line in only] == [1]
    assert cachctl("events", "--after", "3", "--model", "m", registry=home).out.count("\n") == 2
    assert cachctl("events", "--type", "nothing", registry=home).code == 2


def test_follow(tmp_path: Path) -> None:
    home = tmp_path / "registry"
    with registry_core.init(home) as registry:
        registry.push(make_model(tmp_path / "v1", tensors=1), "m")
        words = ["-m", "cachctl", "events", "--type", "model.stage", "--follow", "--json"]
        process = subprocess.Popen(
            [sys.executable, *words, "--registry", str(home)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        registry.promote("m@production", 1)
        assert json.loads(process.stdout.readline())["data"]["generation"] == 1
        registry.promote("m@staging", 1)
        assert json.loads(process.stdout.readline())["data"]["stage"] == "staging"
        process.terminate()
        process.wait(10)
        process.stdout.close()
