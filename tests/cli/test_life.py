"""The life of a model from the command line, on an embedded registry and through an authority."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cachctl import cachctl
from tests.models import make_model


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Path, Path]:
    return make_model(tmp_path / "v1"), make_model(tmp_path / "v2", changed=3)


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    home = tmp_path / "registry"
    made = cachctl("init", home, "--json")
    assert made.code == 0, made.err
    assert set(made.json["keys"]) == {"authority", "owner", "promoter", "publisher", "stager"}
    return home


@pytest.fixture
def authority(embedded: Path) -> Iterator[str]:
    words = ["-m", "cachd.main", "authority", "--home", str(embedded), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.stdout.close()


def live(target: Path | str, keys: Path, versions: tuple[Path, Path]) -> None:
    """The same words work on both kinds of registry."""
    here = ("--keys", keys)
    first = cachctl("push", versions[0], "--model", "m", *here, "--json", registry=target)
    assert (first.code, first.json["number"], first.json["created"]) == (0, 1, True)
    second = cachctl("push", versions[1], "--model", "m", *here, "--tag", "a=b", registry=target)
    assert second.code == 0
    assert "are new" in second.out
    again = cachctl("push", versions[0], "--model", "m", *here, "--json", registry=target)
    assert (again.json["number"], again.json["created"], again.json["bytes_uploaded"]) == (
        1,
        False,
        0,
    )

    for number in (1, 2):
        assert cachctl("promote", "m@production", number, *here, registry=target).code == 0
    stale = cachctl(
        "promote", "m@production", 1, "--expect", "1.0", *here, "--json", registry=target
    )
    assert (stale.code, stale.json["error"]["actual"]) == (5, "2.0")
    back = cachctl("rollback", "m@production", *here, "--reason", "why", "--json", registry=target)
    assert (back.json["guard"], back.json["in_force"]["number"]) == ("2.1", 1)
    staged = cachctl("promote", "m@staging", 2, *here, "--json", registry=target)
    assert staged.json["guard"] == "1.0"

    resolved = cachctl("resolve", "models:/m@production", registry=target)
    assert resolved.out.split()[0] == "m/1"
    assert cachctl("list", "--json", registry=target).json["models"][0]["stages"] == {
        "production": 1, "staging": 2,
    }  # fmt: skip
    shown = cachctl("show", "m", "--json", registry=target).json
    assert [version["number"] for version in shown["versions"]] == [2, 1]
    files = cachctl("show", "m/2", "--json", registry=target).json["file_list"]
    assert [file["path"] for file in files] == ["config.json", "model.safetensors", "sub/empty.txt"]
    history = cachctl("history", "m", "--json", registry=target).json["entries"]
    assert [entry["type"] for entry in history[:2]] == ["stage.moved", "stage.chosen"]
    assert history[1]["reason"] == "why"
    for plain in ("list", "show m", "show m/1", "history m", "status m"):
        assert cachctl(*plain.split(), registry=target).code == 0, plain
    checked = cachctl("verify", "--deep", "--json", registry=target)
    assert (checked.code, checked.json["clean"]) == (0, True)


@pytest.mark.slow
def test_life_on_an_embedded_registry(embedded: Path, versions: tuple[Path, Path]) -> None:
    live(embedded, embedded / "keys", versions)
    status = cachctl("status", "m", "--json", registry=embedded).json
    assert status["nodes"] is None


@pytest.mark.slow
def test_life_through_an_authority(
    embedded: Path, authority: str, versions: tuple[Path, Path]
) -> None:
    live(authority, embedded / "keys", versions)
    assert cachctl("status", "m", "--json", registry=authority).json["nodes"] == []
    beside = cachctl("verify", "--json", registry=embedded)
    assert beside.json["clean"], "reading works beside the authority"
    locked = cachctl("promote", "m@production", 2, registry=embedded)
    assert locked.code == 8
    assert "cachd authority" in locked.err
    assert "--registry http://" in locked.err
