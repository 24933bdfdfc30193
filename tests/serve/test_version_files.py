from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path

import pytest

from cachd.serve.client import FileRefused
from cachd.serve.version_files import VersionFiles


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "version"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "deep.bin").write_bytes(b"deep")
    (root / "empty").touch()
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "linked").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    return root


class Keeper:
    pass


def open_files(directory: Path, listed: dict[str, int] | None = None) -> VersionFiles:
    return VersionFiles(os.open(directory, os.O_RDONLY | os.O_DIRECTORY), listed)


def test_descriptors_and_maps(directory: Path) -> None:
    files = open_files(directory)
    fd = files.fd("a/b/deep.bin")
    assert files.fd("a/b/deep.bin") == fd
    assert os.pread(fd, 9, 0) == b"deep"
    keeper = Keeper()
    gone = weakref.ref(keeper)
    buffer = files.map("a/b/deep.bin", keeper)
    assert buffer.readonly
    assert bytes(buffer) == b"deep"
    assert bytes(files.map("empty", None)) == b""
    del files
    gc.collect()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
    part = buffer[1:3]
    del buffer, keeper
    assert bytes(part) == b"ee"
    assert gone() is not None
    del part
    assert gone() is None


def test_a_private_map_changes_nothing_on_disk(directory: Path) -> None:
    files = open_files(directory)
    private = files.map("a/b/deep.bin", None, private=True)
    private[:] = b"DEEP"
    assert bytes(private) == b"DEEP"
    assert bytes(files.map("a/b/deep.bin", None)) == b"deep"
    assert (directory / "a" / "b" / "deep.bin").read_bytes() == b"deep"
    assert len(files.map("empty", None, private=True)) == 0


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/", ".", "x\0y", "nothing"),
        *("a", "link", "linked/outside", "pipe", "empty/x"),
    ],
)
def test_other_names_are_refused(directory: Path, name: str) -> None:
    files = open_files(directory)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for method in (files.fd, lambda name: files.map(name, None)):
        with pytest.raises(FileRefused):
            method(name)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_sizes(directory: Path) -> None:
    assert open_files(directory).sizes() == {"a/b/deep.bin": 4, "empty": 0}
    assert open_files(directory, {"x": 1}).sizes() == {"x": 1}
