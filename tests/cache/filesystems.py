"""Real filesystems in a file, mounted for a test."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


@contextmanager
def mounted(kind: str, folder: Path, size: int) -> Iterator[tuple[Path, Path]]:
    """(where it is mounted, the file it lies in). Skips with a reason where that is impossible."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a filesystem")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"needs mkfs.{kind}")
    image, place = folder / f"{kind}.image", folder / kind
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    options = ["-E", "lazy_itable_init=0"] if kind == "ext4" else []
    subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True)
    made = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"cannot mount {kind} here: {made.stderr.decode().strip()}")
    try:
        yield place, image
    finally:
        subprocess.run(["umount", place], check=True)


def rot(image: Path, data: bytes, byte: int) -> None:
    """Change one byte of `data`, where it lies on the disk."""
    with image.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        place = content.find(data)
        assert place >= 0, "it is on the disk"
        assert content.find(data, place + 1) < 0, "it lies in one place"
        content[place + byte] ^= 4
