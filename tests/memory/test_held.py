"""Versions held in memory: locked where that is allowed, measured, and brought back."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.cache import Cache
from cachd.cache.errors import CacheUnavailable
from cachd.cache.layout import remove_tree
from cachd.cache.libc import ReadOnlyMap
from cachd.cache.pace import Pace
from cachd.memory.fill import Filled, fill
from cachd.memory.held import Held, Measured
from cachd.memory.locking import LockMemory, lockable_bytes
from registry_core.domain.manifest import Manifest
from tests.cache.asked import Asked
from tests.cache.in_memory import forget
from tests.cache.versions import CHUNK, make_version, random_bytes
from tests.cache.versions import fill as fetch

RNG = random.Random(1)
FILES = {"big.bin": random_bytes(100 * CHUNK + 5, 7), "deep/x": b"y" * 9, "empty": b""}


def publish(folder: Path, files: Mapping[str, bytes] = FILES) -> tuple[Manifest, Path]:
    manifest, chunks = make_version(files)
    with Cache.open(folder) as cache:
        fetch(cache, manifest, chunks)
        return manifest, cache.publish(manifest)


def bring(held: Held, manifest: Manifest, lock: LockMemory, *, missing: bool = False) -> Filled:
    return fill(held, manifest, threading.Event(), lock=lock, hashed=True, missing_only=missing)


def locked_kb() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.split("VmLck:")[1].split()[0])


def test_it_rests_after_each_chunk_while_requests_are_answered(tmp_path: Path) -> None:
    manifest, folder = publish(tmp_path)
    held, asked = Held(folder, manifest), Asked()
    filled = fill(
        held, manifest, threading.Event(), lock=LockMemory.NEVER, hashed=True,
        pace=Pace(0.5, asked),
    )  # fmt: skip
    assert filled == Filled([])
    assert held.measure(RNG).share == 1
    assert asked.times == sum(len(file.chunks) for file in manifest.files)
    held.close()


def test_what_may_be_locked_is_and_does_not_leave(tmp_path: Path) -> None:
    limit = lockable_bytes()
    if limit is not None and limit < 2 << 20:
        pytest.skip("this process may lock no memory")
    manifest, folder = publish(tmp_path)
    forget(folder / "big.bin")
    held, before = Held(folder, manifest), locked_kb()
    assert held.measure(RNG).share < 0.5
    assert bring(held, manifest, LockMemory.ALWAYS) == Filled([])
    assert held.locked
    assert locked_kb() - before >= manifest.size // 1024
    forget(folder / "big.bin")
    assert held.measure(RNG).share == 1.0, "locked pages stay"
    held.close()
    assert locked_kb() == before
    assert (held.measure(RNG), held.locked_bytes) == (Measured(0, 0), 0)


def test_what_was_reclaimed_is_brought_back_and_hashed(tmp_path: Path) -> None:
    manifest, folder = publish(tmp_path)
    held = Held(folder, manifest)
    assert bring(held, manifest, LockMemory.NEVER) == Filled([])
    assert (held.locked, held.measure(RNG).share) == (False, 1.0)
    assert bring(held, manifest, LockMemory.NEVER, missing=True).bytes_brought == 0
    held.close()
    forget(folder / "big.bin")  # mapped pages do not leave on advice alone
    held = Held(folder, manifest)
    assert held.measure(RNG).share < 0.5
    back = bring(held, manifest, LockMemory.NEVER, missing=True)
    assert (back.damaged, held.measure(RNG).share) == ([], 1.0)
    assert manifest.size // 2 < back.bytes_brought <= manifest.size
    held.close()
    target = folder / "big.bin"
    target.chmod(0o644)
    with target.open("r+b") as file:
        file.write(b"\1\2\3")
    forget(target)
    held = Held(folder, manifest)
    assert bring(held, manifest, LockMemory.NEVER, missing=True).damaged == ["big.bin"]
    held.close()


def test_large_versions_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEASURE_STEP", 2 * CHUNK)
    monkeypatch.setattr(limits, "MEASURE_STEPS_MAX", 10)
    manifest, folder = publish(tmp_path)
    held = Held(folder, manifest)
    bring(held, manifest, LockMemory.NEVER)
    found = held.measure(RNG)
    assert found.share == 1.0
    assert 0 < found.looked <= 10 * 2 * CHUNK // 4096
    held.close()


def test_a_version_of_very_many_files_holds_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAPS_PER_VERSION_MAX", 1)
    manifest, folder = publish(tmp_path)
    held = Held(folder, manifest)
    assert held.held_bytes == len(FILES["big.bin"])
    assert bring(held, manifest, LockMemory.NEVER).damaged == []
    held.close()


def test_damage_is_found_on_the_way(tmp_path: Path) -> None:
    same = random_bytes(3 * CHUNK, 2)
    files = {**FILES, "same-1": same, "same-2": same, "short": b"1234"}
    files |= {"lost": b"1", "lost-with/its/folder": b"2", "no-folder/any-more": b"3"}
    manifest, folder = publish(tmp_path, files)
    for path in ("big.bin", "empty", "same-1", "short"):
        (folder / path).chmod(0o644)
    with (folder / "big.bin").open("r+b") as file:
        file.seek(4 * CHUNK)
        file.write(bytes([FILES["big.bin"][4 * CHUNK] ^ 1]))
    (folder / "empty").write_bytes(b"1")
    os.truncate(folder / "same-1", 5)
    os.truncate(folder / "short", 0)
    folder.chmod(0o755)
    (folder / "lost").unlink()
    remove_tree(folder / "lost-with")
    remove_tree(folder / "no-folder")
    (folder / "no-folder").write_bytes(b"")
    held = Held(folder, manifest)
    damaged = ["big.bin", "empty", "lost", "lost-with/its/folder", "no-folder/any-more"]
    damaged += ["same-1", "same-2", "short"]
    assert bring(held, manifest, LockMemory.NEVER) == Filled(damaged)
    held.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_trouble_of_the_disk_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    manifest, folder = publish(tmp_path)

    def refuse(path: Path) -> ReadOnlyMap:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("cachd.memory.held.ReadOnlyMap", refuse)
    with pytest.raises(CacheUnavailable, match=os.strerror(number)):
        Held(folder, manifest)


def test_it_stops_when_told(tmp_path: Path) -> None:
    manifest, folder = publish(tmp_path)
    forget(folder / "big.bin")
    held, cancel = Held(folder, manifest), threading.Event()
    cancel.set()
    assert fill(held, manifest, cancel, lock=LockMemory.AUTO, hashed=True) == Filled([])
    assert held.measure(RNG).share < 0.5
    assert not held.locked_bytes
    held.close()


@pytest.mark.parametrize("populates", [True, False])
def test_what_was_fetched_is_brought_in_whatever_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, populates: bool
) -> None:
    """Before Linux 5.14 madvise does not know MADV_POPULATE_READ."""
    manifest, folder = publish(tmp_path)
    forget(folder / "big.bin")
    if not populates:
        monkeypatch.setattr(ReadOnlyMap, "populate", lambda *_: False)
    held = Held(folder, manifest)
    assert held.measure(RNG).share < 0.5
    fresh = fill(held, manifest, threading.Event(), lock=LockMemory.NEVER, hashed=False)
    assert (fresh, held.measure(RNG).share) == (Filled([]), 1.0)
    held.close()


_UNPRIVILEGED = """
import json, os, random, resource, sys, threading
from pathlib import Path
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
from cachd.memory.errors import MemoryNotLocked
from cachd.memory.fill import fill
from cachd.memory.held import Held
from cachd.memory.locking import LockMemory, lockable_bytes, require_lockable
from registry_core.domain.manifest import Manifest
manifest, folder = Manifest.parse(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
said = {"lockable": lockable_bytes()}
held = Held(folder, manifest)
filled = fill(held, manifest, threading.Event(), lock=LockMemory.AUTO, hashed=True)
said["auto"] = [filled.damaged, filled.refused, held.locked]
for act in (
    lambda: fill(held, manifest, threading.Event(), lock=LockMemory.ALWAYS, hashed=True),
    lambda: require_lockable(1 << 30),
):
    try:
        act()
    except MemoryNotLocked as error:
        said.setdefault("refused", []).append(str(error))
print(json.dumps(said))
"""


def test_a_process_that_may_not_lock_says_so(tmp_path: Path) -> None:
    manifest, folder = publish(tmp_path / "cache")
    document = tmp_path / "manifest"
    document.write_bytes(manifest.encoded)
    drop = ["setpriv", "--bounding-set", "-ipc_lock"] if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*drop, sys.executable, "-c", _UNPRIVILEGED, str(document), str(folder)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    damaged, refused, locked = said["auto"]
    assert (said["lockable"], damaged, locked) == (65536, [], False)
    assert refused, "it goes on without, and says why"
    assert "LimitMEMLOCK" in said["refused"][1]
    assert len(said["refused"]) == 2
