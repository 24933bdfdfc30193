"""Versions as copies in a tmpfs: for slow disks, whose files must not have to be read again.

PLACE/blobs/<chunk root>    a file, copied and hashed on its way, 0444; shared by its versions
PLACE/versions/<digest>/    the version as programs read it: hard links to blobs
PLACE/tmp/, PLACE/lock      what is not finished; held by the daemon that uses it

The layout is that of a cache, so a version appears in one rename here, too. A daemon that ends or
is killed leaves all of it to the workers that read it; the next one adopts what is whole, hashes it
when it is asked for, and removes the rest once nobody needs it. Any thread may call; `_lock` lets
one change the folder at a time, copying apart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from cachd import limits
from cachd.cache.errors import NOT_THERE
from cachd.cache.layout import (
    FILE_MODE,
    HEX64,
    Layout,
    has_files,
    is_file,
    remove_tree,
    write_all,
)
from cachd.cache.pace import UNPACED, Pace
from cachd.cache.publish import build_version, replace_files
from cachd.cache.verifier import verify
from cachd.memory.errors import TmpfsUnusable, size_text
from cachd.memory.form import Placed
from cachd.memory.mounts import mount_of, mount_tmpfs, unmount
from registry_core.domain.identifiers import Digest
from registry_core.domain.manifest import Chunk, Manifest, ModelFile
from registry_core.errors import IntegrityError

_log = structlog.get_logger("cachd.node")
_WISHES: tuple[list[str], ...] = (["huge=always", "noswap"], ["huge=always"], ["noswap"], [])


class TmpfsForm:
    """`open_mounted` or `open_given`; `unswappable` says whether its pages can leave memory."""

    def __init__(self, place: Path, *, own_mount: bool, unswappable: bool) -> None:
        self.unswappable = unswappable
        self._layout = Layout(place)
        self._own_mount = own_mount
        self._lock = threading.Lock()
        self._coming: Counter[bytes] = Counter()  # files that a version is being made of
        self._lock_descriptor = _take(self._layout)
        self._tidy()
        self._adopted = self.known()

    @classmethod
    def open_mounted(
        cls, place: Path, size: int, nodes: tuple[int, ...], *, swap: bool
    ) -> TmpfsForm:
        """On a tmpfs of our own, mounted at `place` unless an earlier daemon's is there."""
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)  # as its owner makes it
            place.mkdir(exist_ok=True)
        except OSError as error:
            raise TmpfsUnusable(f"cannot make {place} ({error.strerror})") from error
        there = mount_of(place)
        if there.place != place.resolve():
            _mount(place, size, nodes)
            there = mount_of(place)
        else:
            with suppress(OSError):  # the budget may be another one now
                mount_tmpfs(place, [f"size={size}"], again=True)
        unswappable = "noswap" in there.options or not swap
        if not unswappable:
            _log.warning("this kernel may swap what is in the tmpfs: switch swap off")
        return cls(place, own_mount=True, unswappable=unswappable)

    @classmethod
    def open_given(cls, place: Path, *, swap: bool) -> TmpfsForm:
        """In a directory of a tmpfs that is there already. It is this daemon's alone."""
        place.mkdir(parents=True, exist_ok=True, mode=0o755)
        there = mount_of(place)
        if there.kind != "tmpfs":
            raise TmpfsUnusable(
                f"--tmpfs {place} lies in a {there.kind or 'filesystem of unknown kind'}, not in a "
                "tmpfs: name a directory below /dev/shm, or mount a tmpfs there"
            )
        if any(place.iterdir()) and not (place / "lock").exists():
            raise TmpfsUnusable(f"--tmpfs {place} holds files of others: name one of its own")
        unswappable = "noswap" in there.options or not swap
        if not unswappable:
            _log.warning("this tmpfs may be swapped: mount it with noswap, or switch swap off")
        return cls(place, own_mount=False, unswappable=unswappable)

    def place(
        self, manifest: Manifest, published: Path, cancel: threading.Event, pace: Pace = UNPACED
    ) -> Placed:
        """Copy what is not here, or not any more, hashing all that is read."""
        folder = self._layout.version(manifest.digest)
        if has_files(folder, manifest):
            return self._placed(manifest.digest)
        files = {file.chunk_root: file for file in manifest.files if file.chunks}
        with self._lock:
            self._coming.update(files.keys())
        try:
            return self._build(manifest, files, published, cancel, pace)
        finally:
            with self._lock:
                self._coming.subtract(files.keys())

    def known(self) -> set[Digest]:
        """The versions that are here."""
        return {Digest.parse_hex(one.name) for one in self._layout.versions.iterdir()}

    def _build(
        self,
        manifest: Manifest,
        files: dict[bytes, ModelFile],
        published: Path,
        cancel: threading.Event,
        pace: Pace,
    ) -> Placed:
        folder = self._layout.version(manifest.digest)
        missing = [f for root, f in files.items() if not is_file(self._layout.blob(root), f.size)]
        with ThreadPoolExecutor(limits.DISK_THREADS, "cachd-tmpfs") as pool:
            copied = list(pool.map(lambda file: self._copy(file, published, cancel, pace), missing))
        damaged = {file.chunk_root for file, ok in zip(missing, copied, strict=True) if not ok}
        if damaged or cancel.is_set():
            paths = tuple(f.path for f in manifest.files if f.chunk_root in damaged)
            return Placed(folder, damaged=paths)
        with self._lock, _room():
            make = replace_files if folder.is_dir() else build_version
            make(self._layout, manifest)
        return self._placed(manifest.digest)

    def _placed(self, digest: Digest) -> Placed:
        folder = self._layout.version(digest)
        return Placed(folder, adopted=digest in self._adopted, hashed=True)

    def drop(self, digest: Digest) -> None:
        with self._lock:
            self._adopted.discard(digest)
            remove_tree(self._layout.version(digest))
            self._drop_unnamed()

    def close(self, *, in_use: bool) -> None:
        os.close(self._lock_descriptor)
        if in_use:
            return
        if not self._own_mount:
            for folder in self._layout.folders[1:]:
                remove_tree(folder)
            return
        with suppress(OSError):  # somebody reads there still: the next start adopts it
            unmount(self._layout.root)

    def _tidy(self) -> None:
        """What an earlier daemon left unfinished."""
        with _room():
            self._layout.make()
        for left in self._layout.tmp.iterdir():
            remove_tree(left) if left.is_dir() else left.unlink()
        for one in self._layout.versions.iterdir():
            if not HEX64.fullmatch(one.name):
                remove_tree(one) if one.is_dir() else one.unlink()
        self._drop_unnamed()

    def _drop_unnamed(self) -> None:
        for blob in self._layout.blobs.iterdir():
            if blob.lstat().st_nlink == 1 and not self._coming[bytes.fromhex(blob.name)]:
                blob.unlink()

    def _copy(self, file: ModelFile, published: Path, cancel: threading.Event, pace: Pace) -> bool:
        """False: it is damaged there."""
        aside = self._layout.tmp / f"{file.chunk_root.hex()}.{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with _room(), (published / file.path).open("rb", buffering=0) as source:
                target = os.open(aside, flags, 0o644)
                try:
                    done = _copy_chunks(file, source.fileno(), target, cancel, pace)
                    os.fchmod(target, FILE_MODE)
                finally:
                    os.close(target)
            if done:
                aside.rename(self._layout.blob(file.chunk_root))
            return done or cancel.is_set()
        except (*NOT_THERE, IntegrityError):
            return False
        finally:
            aside.unlink(missing_ok=True)


def leave_mounted(place: Path) -> None:
    """Take away what a daemon with this form mounted there, and nobody runs any more. Those who
    read there keep it until they end."""
    if not place.is_dir() or mount_of(place).place != place.resolve():
        return
    with suppress(OSError, TmpfsUnusable):
        os.close(_take(Layout(place)))
        unmount(place, detach=True)


def _copy_chunks(
    file: ModelFile, source: int, target: int, cancel: threading.Event, pace: Pace
) -> bool:
    """False, if cancelled. What was read leaves the page cache: it would take memory twice."""
    buffer = memoryview(bytearray(max(chunk.length for chunk in file.chunks)))
    if os.fstat(source).st_size != file.size:
        raise IntegrityError(f"{file.path} has another size than its manifest says")
    for offset, chunk in file.placed_chunks():
        if cancel.is_set():
            return False
        with pace.piece():
            _copy_chunk(file, offset, chunk, buffer[: chunk.length], source, target)
    return True


def _copy_chunk(
    file: ModelFile, offset: int, chunk: Chunk, buffer: memoryview, source: int, target: int
) -> None:
    filled = 0
    while filled < chunk.length:
        count = os.preadv(source, [buffer[filled:]], offset + filled)
        if not count:
            raise IntegrityError(f"{file.path} ends before its manifest says")
        filled += count
    verify(chunk, buffer)
    write_all(target, buffer, offset)
    os.posix_fadvise(source, offset, chunk.length, os.POSIX_FADV_DONTNEED)


def _mount(place: Path, size: int, nodes: tuple[int, ...]) -> None:
    fixed = [f"size={size}", "mode=0755"]
    if len(nodes) > 1:
        fixed.append("mpol=interleave")
    for wishes in _WISHES:
        try:
            mount_tmpfs(place, fixed + wishes)
        except OSError as error:
            if error.errno == errno.EINVAL and wishes:
                continue  # this kernel lacks one of them
            raise TmpfsUnusable(
                f"no tmpfs can be mounted at {place} ({error.strerror}): start the daemon as root, "
                "or name a directory of a tmpfs that is there: --tmpfs /dev/shm/cachd"
            ) from error
        _log.info("tmpfs mounted", place=str(place), size=size_text(size), options=fixed + wishes)
        return


def _take(layout: Layout) -> int:
    """The lock; TmpfsUnusable if another daemon has it."""
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise TmpfsUnusable(
            f"the tmpfs {layout.root} is in use by another daemon: give each its own directory"
        ) from error
    return descriptor


class _room:  # noqa: N801 - reads as what it is
    """A full tmpfs is told as such."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM):
            raise TmpfsUnusable(
                "the tmpfs for versions is full: give it a larger size=, or unmount it while "
                "nothing is served, and the daemon mounts one as large as --memory-budget"
            ) from error
