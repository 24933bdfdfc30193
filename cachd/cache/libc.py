"""The few system calls that Python lacks, or makes while holding the GIL.

`mmap.madvise` keeps the GIL while the kernel reads a file in, which would stop every thread of a
daemon for as long; calls through ctypes release it. Linux only. Thread-safe.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
from types import TracebackType

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
_libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.munlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_uint]

_MADV_POPULATE_READ = 22  # Linux 5.14
_MAP_FAILED = ctypes.c_void_p(-1).value
_SYNC_FILE_RANGE_WRITE = 2
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_IDLE = 3 << 13


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Ask the kernel to begin writing this range to the disk, without waiting: the fsync at the
    end then finds little left. Only a hint, so filesystems that know nothing of it may refuse."""
    _libc.sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)


def read_when_disk_is_idle() -> None:
    """The calling thread's I/O gets the idle class, where the scheduler of the disk knows classes.
    Only a hint, so a machine whose number of the call is not known here goes without."""
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        _libc.syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_IDLE)


class ReadOnlyMap:
    """A whole file, shared and read-only. Offsets are bytes; `close` or leave the `with` block.

    The file must not be truncated while it is mapped; nothing in a cache ever is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(descriptor).st_size
            self._address = 0
            if self.size:
                address = _libc.mmap(
                    None, self.size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0
                )
                if address in (None, _MAP_FAILED):
                    raise _last_error(os.fspath(path))
                self._address = address
        finally:
            os.close(descriptor)

    def __enter__(self) -> ReadOnlyMap:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._address:
            _libc.munmap(self._address, self.size)
            self._address = 0

    def populate(self, offset: int, length: int) -> bool:
        """Bring the pages of a range into memory and map them. False: this kernel cannot.

        A page that cannot be read from the disk is an OSError here rather than a SIGBUS later.
        """
        start, length = self._pages(offset, length)
        if length <= 0:
            return True
        if _libc.madvise(self._address + start, length, _MADV_POPULATE_READ) == 0:
            return True
        error = _last_error("madvise")
        if error.errno == errno.EINVAL:
            return False
        raise error

    def view(self, offset: int, length: int) -> memoryview:
        """The bytes of a range, not copied: not to be used after `close`."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"{length} bytes at {offset} are outside a file of {self.size}")
        if not length:
            return memoryview(b"")
        array = (ctypes.c_char * length).from_address(self._address + offset)
        return memoryview(array).cast("B").toreadonly()

    def lock(self, offset: int, length: int) -> None:
        """Bring the pages of a range into memory, to stay there until `close`. OSError: this
        process may not (EPERM, ENOMEM), or they cannot be read."""
        start, length = self._pages(offset, length)
        if length > 0 and _libc.mlock(self._address + start, length) != 0:
            raise _last_error("mlock")

    def unlock(self) -> None:
        """All of it."""
        if self._address:
            _libc.munlock(self._address, self.size)

    def resident_pages(self, offset: int = 0, length: int | None = None) -> tuple[int, int]:
        """(pages in memory, pages) of a range, or of all, as mincore tells."""
        start, length = self._pages(offset, self.size if length is None else length)
        pages = -(-length // mmap.PAGESIZE)
        if pages <= 0:
            return 0, 0
        states = ctypes.create_string_buffer(pages)
        if _libc.mincore(self._address + start, length, states) != 0:
            raise _last_error("mincore")
        lacking = states.raw[:pages].count(0)
        return pages - lacking, pages

    def _pages(self, offset: int, length: int) -> tuple[int, int]:
        """(where its first page begins, bytes from there) of a range, as far as the file goes."""
        start = offset - offset % mmap.PAGESIZE
        return start, min(length + offset - start, self.size - start)


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
