"""Versions as copies in a tmpfs: mounted, shared, adopted after a crash, refused where it cannot
be. Real mounts, so most of it takes root."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachd.cache.cache import Cache
from cachd.cache.layout import remove_tree
from cachd.cache.pace import Pace
from cachd.memory.errors import TmpfsUnusable
from cachd.memory.mounts import mount_of, unmount
from cachd.memory.tmpfs import TmpfsForm
from registry_core.domain.manifest import Manifest
from tests.cache.asked import Asked
from tests.cache.versions import CHUNK, fill, make_version

MIB = 1 << 20
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a tmpfs")
SHARED = random.Random(1).randbytes(20 * CHUNK + 7)


def publish(cache: Cache, own: bytes) -> tuple[Manifest, Path]:
    files = {"shared.bin": SHARED, "deep/own.bin": own, "empty": b""}
    manifest, chunks = make_version(files)
    fill(cache, manifest, chunks)
    return manifest, cache.publish(manifest)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with Cache.open(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "resident"
    if mount_of(tmp_path).place != mount_of(tmp_path / "resident").place:
        unmount(tmp_path / "resident", detach=True)


def put(form: TmpfsForm, manifest: Manifest, published: Path) -> Path:
    placed = form.place(manifest, published, threading.Event())
    assert not placed.damaged
    return placed.folder


def mounted(place: Path, size: int = 64 * MIB) -> TmpfsForm:
    return TmpfsForm.open_mounted(place, size, (), swap=False)


@needs_root
def test_a_version_is_copied_with_what_it_shares_once(cache: Cache, place: Path) -> None:
    form = mounted(place)
    assert mount_of(place).kind == "tmpfs"
    assert mount_of(place).options >= {"size=65536k"}
    one, two = publish(cache, b"1" * 99), publish(cache, b"2" * 5000)
    folders = [put(form, *one), put(form, *two)]
    assert (folders[1] / "shared.bin").read_bytes() == SHARED
    assert (folders[1] / "deep/own.bin").read_bytes() == b"2" * 5000
    assert (folders[0] / "empty").read_bytes() == b""
    inodes = {(folder / "shared.bin").stat().st_ino for folder in folders}
    assert len(inodes) == 1
    assert (folders[0] / "shared.bin").stat().st_mode & 0o777 == 0o444
    assert form.known() == {one[0].digest, two[0].digest}
    form.drop(one[0].digest)
    assert form.known() == {two[0].digest}
    assert (folders[1] / "shared.bin").read_bytes() == SHARED
    form.drop(two[0].digest)
    assert list((place / "blobs").iterdir()) == []
    form.close(in_use=False)
    assert mount_of(place).place != place, "unmounted"


@needs_root
def test_copying_rests_after_each_chunk_while_requests_are_answered(
    cache: Cache, place: Path
) -> None:
    manifest, published = publish(cache, b"own")
    form, asked = mounted(place), Asked()
    placed = form.place(manifest, published, threading.Event(), Pace(0.5, asked))
    assert (placed.folder / "shared.bin").read_bytes() == SHARED
    assert asked.times == sum(len(file.chunks) for file in manifest.files)
    form.close(in_use=False)


@needs_root
def test_damage_on_the_disk_is_found_while_copying(cache: Cache, place: Path) -> None:
    manifest, published = publish(cache, b"1" * 99)
    target = published / "shared.bin"
    target.chmod(0o644)
    with target.open("r+b") as file:
        file.seek(3 * CHUNK)
        file.write(b"spoiled")
    form = mounted(place)
    placed = form.place(manifest, published, threading.Event())
    assert placed.damaged == ("shared.bin",)
    assert form.known() == set()
    form.close(in_use=False)


@needs_root
def test_what_was_deleted_of_a_copy_is_put_back_beside_the_rest(cache: Cache, place: Path) -> None:
    form = mounted(place)
    manifest, published = publish(cache, b"1" * 99)
    folder = put(form, manifest, published)
    inode = (folder / "shared.bin").stat().st_ino
    folder.chmod(0o755)
    (place / "blobs" / manifest.files[0].chunk_root.hex()).unlink()
    assert manifest.files[0].path == "deep/own.bin"
    remove_tree(folder / "deep")
    (folder / "empty").unlink()
    assert put(form, manifest, published) == folder
    assert (folder / "deep/own.bin").read_bytes() == b"1" * 99
    assert (folder / "empty").read_bytes() == b""
    assert (folder / "shared.bin").stat().st_ino == inode
    os.truncate(folder / "deep/own.bin", 5)
    assert put(form, manifest, published) == folder
    assert (folder / "deep/own.bin").read_bytes() == b"1" * 99
    form.close(in_use=False)


@needs_root
def test_what_a_killed_daemon_left_is_adopted(cache: Cache, place: Path) -> None:
    one, two = publish(cache, b"1"), publish(cache, b"2")
    program = (
        "import os, sys, threading\nfrom pathlib import Path\n"
        "from cachd.memory.tmpfs import TmpfsForm\n"
        "from registry_core.domain.manifest import Manifest\n"
        "form = TmpfsForm.open_mounted(Path(sys.argv[1]), 64 << 20, (), swap=False)\n"
        "manifest = Manifest.parse(Path(sys.argv[2]).read_bytes())\n"
        "form.place(manifest, Path(sys.argv[3]), threading.Event())\n"
        "(Path(sys.argv[1]) / 'tmp' / 'half').write_bytes(b'x')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    document = place.parent / "manifest"
    document.write_bytes(one[0].encoded)
    ran = subprocess.run(
        [sys.executable, "-c", program, str(place), str(document), str(one[1])],
        check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.returncode == -9
    form = mounted(place, 32 * MIB)
    assert mount_of(place).options >= {"size=32768k"}, "the budget of today"
    assert list((place / "tmp").iterdir()) == []
    placed = form.place(one[0], one[1], threading.Event())
    assert placed.adopted, "and so hashed again before it counts"
    assert not form.place(two[0], two[1], threading.Event()).adopted
    with (placed.folder / "shared.bin").open("rb"):
        form.close(in_use=False)
        assert mount_of(place).place == place, "somebody reads there: the next start adopts it"
    mounted(place).close(in_use=False)
    assert mount_of(place).place != place


@needs_root
def test_a_full_tmpfs_and_a_second_daemon_are_told(cache: Cache, place: Path) -> None:
    form = mounted(place, 64 * 1024)
    with pytest.raises(TmpfsUnusable, match="is full"):
        form.place(*publish(cache, b"1"), threading.Event())
    with pytest.raises(TmpfsUnusable, match="in use by another daemon"):
        mounted(place)
    form.close(in_use=False)


def test_a_folder_of_a_tmpfs_that_is_there(cache: Cache, tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or mount_of(shm).kind != "tmpfs":
        pytest.skip("no tmpfs that this user may write to")
    folder = shm / f"cachd-test-{os.getpid()}"
    try:
        form = TmpfsForm.open_given(folder, swap=True)
        assert not form.unswappable or "noswap" in mount_of(shm).options
        manifest, published = publish(cache, b"1")
        assert (put(form, manifest, published) / "shared.bin").read_bytes() == SHARED
        form.close(in_use=True)
        again = TmpfsForm.open_given(folder, swap=False)
        assert again.known() == {manifest.digest}
        assert again.unswappable
        again.close(in_use=False)
        assert not (folder / "blobs").exists()
        (folder / "lock").unlink()
        (folder / "mine.txt").write_text("x")
        with pytest.raises(TmpfsUnusable, match="files of others"):
            TmpfsForm.open_given(folder, swap=False)
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_folder_that_is_in_no_tmpfs(tmp_path: Path) -> None:
    if mount_of(tmp_path).kind == "tmpfs":
        pytest.skip("temporary files lie in a tmpfs here")
    with pytest.raises(TmpfsUnusable, match="not in a tmpfs"):
        TmpfsForm.open_given(tmp_path / "x", swap=False)


def test_who_may_not_mount_is_told_what_to_do(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from cachd.memory.errors import TmpfsUnusable\n"
        "from cachd.memory.tmpfs import TmpfsForm\n"
        "try:\n    TmpfsForm.open_mounted(Path(sys.argv[1]), 1 << 20, (), swap=False)\n"
        "except TmpfsUnusable as error:\n    print(error)\n"
    )
    drop = ["setpriv", "--bounding-set", "-sys_admin"] if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*drop, sys.executable, "-c", program, str(tmp_path / "r")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "start the daemon as root" in ran.stdout
    assert "--tmpfs /dev/shm/cachd" in ran.stdout
