"""Bad input: each gets a clear error and its exit code, and nothing half-made stays behind."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import registry_core
from cachctl import exits
from tests.cli.cachctl import Ran, cachctl
from tests.models import make_model

NOBODY = 65534


def tree(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def models(home: Path) -> list[str]:
    with registry_core.open(home, readonly=True) as registry:
        return [model.name for model in registry.models()]


def damaged_header(folder: Path) -> None:
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[9:14] = b"XXXXX"
    file.write_bytes(data)


def huge_header(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])


def truncated(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 1_000_000)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def link_out(folder: Path) -> None:
    (folder / "passwd").symlink_to("/etc/passwd")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def backslash(folder: Path) -> None:
    (folder / "a\\..\\b").touch()


def undecodable(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).touch()


def case_collision(folder: Path) -> None:
    (folder / "CONFIG.json").touch()


def bad_gguf(folder: Path) -> None:
    (folder / "model.gguf").write_bytes(b"GGUF\3\0\0\0" + b"\xff" * 64)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damaged_header, "damaged safetensors header"),
        (huge_header, "damaged safetensors header"),
        (truncated, "truncated"),
        (empty, "no files"),
        (link_out, "symbolic link"),
        (pipe, "not a regular file"),
        (backslash, "backslash"),
        (undecodable, "undecodable"),
        (case_collision, "differ only by case"),
        (bad_gguf, "GGUF"),
    ],
)
def test_files_that_cannot_become_a_version(
    tmp_path: Path, home: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = make_model(tmp_path / "model")
    spoil(folder)
    files, kept = tree(folder), tree(home / "origin")
    refused = cachctl("push", folder, "--model", "m", "--json", registry=home)
    assert refused.code == exits.INVALID
    assert said in refused.err
    assert refused.json["error"]["code"] == "invalid_model_files"
    assert tree(folder) == files
    assert tree(home / "origin") == kept
    assert models(home) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges to a user who may not read")
@pytest.mark.parametrize("what", ["", "sub", "config.json"])
def test_what_this_user_may_not_read(tmp_path: Path, what: str) -> None:
    tmp_path.chmod(0o755)
    ours = Path(tempfile.gettempdir())
    for parent in [one for one in tmp_path.parents if one.is_relative_to(ours) and one != ours]:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    folder = make_model(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    assert cachctl("init", home / "registry", uid=NOBODY).code == 0
    (folder / what).chmod(0)
    kept = tree(home / "registry" / "origin")
    refused = cachctl("push", folder, "--model", "m", registry=home / "registry", uid=NOBODY)
    assert refused.code == exits.INVALID
    assert "cannot be read" in refused.err
    assert tree(home / "registry" / "origin") == kept
    assert models(home / "registry") == []


@pytest.mark.slow
def test_each_exit_code_is_reached(tmp_path: Path, home: Path) -> None:
    with registry_core.open(home) as registry:
        registry.push(make_model(tmp_path / "v1"), "m")
        registry.promote("m@production", 1)

    def run(*words: str | Path) -> Ran:
        return cachctl(*words, registry=home)

    assert run("resolve", "m@production").code == exits.OK
    assert run("promote", "m@latest", "1").code == exits.INVALID
    assert run("push").code == exits.INVALID
    assert run("nonsense").code == exits.INVALID
    assert run("promote", "m@production", "one").code == exits.INVALID
    assert run("promote", "m@production", "1", "--expect", "x").code == exits.INVALID
    assert run("show", "other").code == exits.NOT_FOUND
    assert run("promote", "m@production", "9").code == exits.NOT_FOUND
    assert run("rollback", "m@other").code == exits.NOT_FOUND
    assert run("promote", "m@production", "1").code == exits.CONFLICT
    assert run("rollback", "m@production").code == exits.CONFLICT
    assert run("init", home).code == exits.CONFLICT
    assert run("rollback", "m@production", "--expect", "7.0").code == exits.STALE
    registry_core.init(tmp_path / "other").close()
    strangers = run("push", make_model(tmp_path / "v2", seed=2), "--model", "m",
                    "--keys", tmp_path / "other" / "keys")  # fmt: skip
    assert strangers.code == exits.UNAUTHORIZED
    assert cachctl("list", registry=tmp_path / "nowhere").code == exits.NOT_FOUND
    assert cachctl("list", registry="http://127.0.0.1:9").code == exits.UNAVAILABLE
    ledger = home / "ledger" / "data.mdb"
    copy = tmp_path / "copy"
    shutil.copytree(home, copy)
    data = bytearray((copy / "ledger" / ledger.name).read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    (copy / "ledger" / ledger.name).write_bytes(data)
    assert cachctl("list", registry=copy).code == exits.UNAVAILABLE
