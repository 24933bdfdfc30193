"""Read-only access to the files of one version, through the directory descriptor it came with.

Every path is walked from that descriptor without following a link, so it stays inside the version
and needs no path to the cache: it works across mount namespaces. Descriptors are made once per file
and live as long as this object; a map lives as long as whatever was made of it, and so does its
`keeper`: arrays and tensors over a version's bytes keep the lease on it.
Threads: any. The finalizer takes no lock.
"""

from __future__ import annotations

import mmap
import os
import threading

from cachd.serve.errors import FileRefused
from cachd.serve.limits import FILES_LISTED_MAX, LIST_DEPTH_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that someone put there would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class KeptMap(mmap.mmap):
    """A map with what must live as long as its bytes are in use."""

    keeper: object = None


class VersionFiles:
    """Owns `directory_fd` from here on."""

    __slots__ = ("_directory_fd", "_fds", "_listed", "_lock")

    def __init__(self, directory_fd: int, listed: dict[str, int] | None) -> None:
        self._directory_fd = directory_fd
        self._listed = listed
        self._fds: dict[str, int] = {}
        self._lock = threading.Lock()

    def sizes(self) -> dict[str, int]:
        """Relative path -> bytes of every file."""
        if self._listed is None:
            self._listed = dict(sorted(_walk(self._directory_fd, "", 0)))
        return dict(self._listed)

    def fd(self, name: str) -> int:
        """A read-only descriptor of the file: shared, so use pread; do not close it."""
        with self._lock:
            return self._fd(name)

    def map(self, name: str, keeper: object, *, private: bool = False) -> memoryview:
        """The whole file as memory, not copied: read-only, or `private`, which makes a page that is
        written to this process's own."""
        fd = self.fd(name)
        size = os.fstat(fd).st_size
        if not size:
            return memoryview(bytearray() if private else b"")  # mmap refuses length 0
        mapped = KeptMap(fd, size, access=mmap.ACCESS_COPY if private else mmap.ACCESS_READ)
        mapped.keeper = keeper
        return memoryview(mapped)

    def _fd(self, name: str) -> int:
        if name not in self._fds:
            self._fds[name] = _open_within(self._directory_fd, name)
        return self._fds[name]

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        for fd in (self._directory_fd, *self._fds.values()):
            close(fd)


def _open_within(directory_fd: int, name: str) -> int:
    parts = name.split("/") if isinstance(name, str) else []
    if not parts or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise FileRefused(
            f"{name!r} is no file of a version: name it by its path within the version, such as "
            "'model.safetensors' or 'onnx/model.onnx'"
        )
    at = directory_fd
    try:
        for part in parts[:-1]:
            deeper = os.open(part, _DIRECTORY, dir_fd=at)
            if at != directory_fd:
                os.close(at)
            at = deeper
        return _open_regular(parts[-1], at)
    except OSError as error:
        raise FileRefused(
            f"cannot open {name!r} in this version ({error.strerror}): `files` lists what it has"
        ) from error
    finally:
        if at != directory_fd:
            os.close(at)


def _open_regular(name: str, directory_fd: int) -> int:
    import stat  # imported when used

    fd = os.open(name, _FILE, dir_fd=directory_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(0, "not a regular file", name)
    return fd


def _walk(directory_fd: int, prefix: str, depth: int) -> list[tuple[str, int]]:
    if depth > LIST_DEPTH_MAX:
        raise FileRefused(f"folders nest deeper than {LIST_DEPTH_MAX} in {prefix!r}")
    found: list[tuple[str, int]] = []
    with os.scandir(directory_fd) as entries:
        listed = list(entries)
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            deeper = os.open(entry.name, _DIRECTORY, dir_fd=directory_fd)
            try:
                found += _walk(deeper, f"{prefix}{entry.name}/", depth + 1)
            finally:
                os.close(deeper)
        elif entry.is_file(follow_symlinks=False):
            found.append((prefix + entry.name, entry.stat(follow_symlinks=False).st_size))
    if len(found) > FILES_LISTED_MAX:
        raise FileRefused(f"more than {FILES_LISTED_MAX} files in one version")
    return found
