"""What cannot become a version is refused by name, and nothing half-made stays behind."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.errors import InvalidModelFiles
from tests.models import make_model
from tests.push.test_push import objects


def damage_header(files: Path) -> None:
    with (files / "model.safetensors").open("r+b") as file:
        file.seek(20)
        file.write(b"\0\xff{{")


def damage_length(files: Path) -> None:
    with (files / "model.safetensors").open("r+b") as file:
        file.write((1 << 40).to_bytes(8, "little"))


def truncate_in_data(files: Path) -> None:
    os.truncate(files / "model.safetensors", (files / "model.safetensors").stat().st_size - 1)


def truncate_in_header(files: Path) -> None:
    os.truncate(files / "model.safetensors", 40)


def empty_tensor_file(files: Path) -> None:
    os.truncate(files / "model.safetensors", 0)


def append_bytes(files: Path) -> None:
    with (files / "model.safetensors").open("ab") as file:
        file.write(b"more")


def damaged_gguf(files: Path) -> None:
    (files / "model.gguf").write_bytes(b"GGUF" + b"\xff" * 40)


def no_files(files: Path) -> None:
    shutil.rmtree(files)
    (files / "only" / "folders").mkdir(parents=True)


def only_git(files: Path) -> None:
    shutil.rmtree(files)
    (files / ".git").mkdir(parents=True)
    (files / ".git" / "HEAD").touch()


def link_out(files: Path) -> None:
    (files / "link").symlink_to("/etc/passwd")


def link_within(files: Path) -> None:
    (files / "link").symlink_to("config.json")


def link_to_folder(files: Path) -> None:
    (files / "folder").symlink_to(files.parent, target_is_directory=True)


def dangling_link(files: Path) -> None:
    (files / "link").symlink_to("nothing")


def pipe(files: Path) -> None:
    os.mkfifo(files / "pipe")


def unix_socket(files: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(files / "socket"))


def backslash(files: Path) -> None:
    (files / "a\\b").touch()


def newline(files: Path) -> None:
    (files / "a\nb").touch()


def undecodable(files: Path) -> None:
    Path(os.fsdecode(os.fsencode(files) + b"/\xff\xfe")).touch()


def decomposed(files: Path) -> None:
    (files / "u\u0308.bin").touch()


def differ_by_case(files: Path) -> None:
    (files / "CONFIG.json").touch()


def too_deep(files: Path) -> None:
    (files / Path(*["d"] * 40)).mkdir(parents=True)


def no_directory(files: Path) -> None:
    shutil.rmtree(files)


def a_file(files: Path) -> None:
    shutil.rmtree(files)
    files.touch()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_header, r"model\.safetensors has a damaged safetensors header"),
        (damage_length, r"model\.safetensors has a damaged safetensors header: it claims"),
        (truncate_in_data, r"model\.safetensors is truncated: its tensors need .* copy it again"),
        (truncate_in_header, r"model\.safetensors has a damaged safetensors header: it claims"),
        (empty_tensor_file, r"model\.safetensors is too short"),
        (append_bytes, r"model\.safetensors has 4 bytes after its last tensor"),
        (damaged_gguf, r"model\.gguf is not GGUF"),
        (no_files, "holds no files: a version needs at least one"),
        (only_git, "holds no files"),
        (link_out, "link is a symbolic link: .*cp -rL"),
        (link_within, "link is a symbolic link"),
        (link_to_folder, "folder is a symbolic link"),
        (dangling_link, "link is a symbolic link"),
        (pipe, "pipe is not a regular file"),
        (unix_socket, "socket is not a regular file"),
        (backslash, "holds a backslash"),
        (newline, "control or undecodable"),
        (undecodable, "control or undecodable"),
        (decomposed, "is not NFC Unicode: rename the file"),
        (differ_by_case, "differ only by case: rename one"),
        (too_deep, "deeper than 32 folders"),
        (no_directory, "is not a directory"),
        (a_file, "is not a directory"),
    ],
)
def test_refused(
    registry: Registry, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    files = make_model(tmp_path / "files", tensors=1)
    spoil(files)
    before = sorted(files.rglob("*")), objects(tmp_path / "registry")
    with pytest.raises(InvalidModelFiles, match=message) as caught:
        registry.push(files, "m")
    assert str(caught.value).isprintable()
    assert registry.models() == []
    assert (sorted(files.rglob("*")), objects(tmp_path / "registry")) == before
    assert before[1] == {}


AS_NOBODY = """
import os, sys
import registry_core
from registry_core.errors import InvalidModelFiles
from registry_core.push.scan import scan_directory
from pathlib import Path
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
try:
    scan_directory(Path(sys.argv[2]))
except InvalidModelFiles as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["directory", "folder", "folder without search", "file", "parent"])
def test_what_this_user_may_not_read(tmp_path_factory: pytest.TempPathFactory, what: str) -> None:
    """In a child without privileges, since nothing is unreadable for root."""
    top = Path(tempfile.gettempdir()) if os.geteuid() == 0 else tmp_path_factory.getbasetemp()
    place = top / f"cachd-unreadable-{os.getpid()}-{what.replace(' ', '-')}"
    files = make_model(place / "files", tensors=1)
    for path in (place, files, *files.rglob("*")):
        path.chmod(0o755)
    locked = {
        "directory": files,
        "folder": files / "sub",
        "folder without search": files / "sub",
        "file": files / "config.json",
        "parent": place,
    }[what]
    locked.chmod(0o444 if "search" in what else 0)
    try:
        nobody = pwd.getpwnam("nobody").pw_uid
        child = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(nobody), str(files)],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        locked.chmod(0o755)
        shutil.rmtree(place)
    assert child.returncode == 0, child.stderr
    named = files if what == "parent" else locked
    assert child.stdout.startswith(str(named))
    assert "cannot be" in child.stdout
