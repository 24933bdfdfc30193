"""Mounting a tmpfs, and what is mounted where. Linux; mounting takes CAP_SYS_ADMIN."""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_FLAGS = 0x2 | 0x4  # nosuid, nodev
_MS_REMOUNT = 32
_MNT_DETACH = 2
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    place: Path
    kind: str
    options: frozenset[str]


def mount_tmpfs(place: Path, options: list[str], *, again: bool = False) -> None:
    """`again`: what is mounted there gets these options. OSError: EPERM without the right to;
    EINVAL for an option that this kernel lacks."""
    data = ",".join(options).encode()
    flags = ctypes.c_ulong(_FLAGS | (_MS_REMOUNT if again else 0))
    if _libc.mount(b"cachd", os.fsencode(place), b"tmpfs", flags, data) != 0:
        raise _last_error(place)


def unmount(place: Path, *, detach: bool = False) -> None:
    """OSError: EBUSY while files there are open or mapped; detached it goes with the last."""
    if _libc.umount2(os.fsencode(place), _MNT_DETACH if detach else 0) != 0:
        raise _last_error(place)


def mount_of(path: Path) -> Mount:
    """The mount that an existing path lies in."""
    path = path.resolve()
    found = Mount(Path("/"), "", frozenset())
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        place = Path(_ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), left.split(" ")[4]))
        if path.is_relative_to(place) and len(place.parts) >= len(found.place.parts):
            kind, _, options = right.split(" ", 2)
            found = Mount(place, kind, frozenset(options.split(",")))  # the last one is on top
    return found


def _last_error(place: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(place))
