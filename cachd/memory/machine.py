"""How much memory this process can have: the machine's, or less where a control group says so.

Read from /proc and the mounted control groups of either version. In a container the group's path
may not be visible: then what is mounted is the container's own group. Cheap; no state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 1 << 60  # version 1 writes the largest multiple of a page for none


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `total`: of the machine, or of the tightest group. `available`: what can be had now
    without swapping, pages of files that may be dropped among it. `swap`: some is in use."""

    total: int
    available: int
    swap: bool


@dataclass(frozen=True, slots=True)
class _Group:
    limit: int
    used: int
    droppable: int

    @property
    def available(self) -> int:
        return max(0, self.limit - self.used + self.droppable)


def look(proc: Path = Path("/proc")) -> Memory:
    """As it is now."""
    machine = _fields(proc / "meminfo")
    total, available = machine["MemTotal:"] * 1024, machine["MemAvailable:"] * 1024
    for group in _groups(proc / "self"):
        total, available = min(total, group.limit), min(available, group.available)
    return Memory(total, available, bool(machine.get("SwapTotal:")))


def _groups(own: Path) -> Iterator[_Group]:
    """Those that limit this process, its own and those above it."""
    paths = dict(
        line.split(":", 2)[1:] for line in _text(own / "cgroup").splitlines() if line.count(":") > 1
    )
    for line in _text(own / "mountinfo").splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            controllers, read = "", _version_2
        elif kind.startswith("cgroup ") and "memory" in kind.split(" ")[-1].split(","):
            known = (one for one in paths if "memory" in one.split(","))
            controllers, read = next(known, "memory"), _version_1
        else:
            continue
        root, place = mount.split(" ")[3:5]
        if controllers in paths:
            for folder in _upwards(Path(place), paths[controllers], root):
                group = read(folder)
                if group is not None:
                    yield group


def _upwards(place: Path, path: str, root: str) -> Iterator[Path]:
    """From the group of this process to the mount."""
    within = path.removeprefix(root.rstrip("/")).strip("/")
    folder = place / within
    if not folder.is_dir() or ".." in folder.parts:
        folder = place
    yield folder
    yield from (above for above in folder.parents if above.is_relative_to(place))


def _version_1(folder: Path) -> _Group | None:
    limit = _number(folder / "memory.limit_in_bytes")
    if limit is None or limit >= _NO_LIMIT:
        return None
    stat = _fields(folder / "memory.stat")
    droppable = stat.get("total_inactive_file", 0) + stat.get("total_active_file", 0)
    return _Group(limit, _number(folder / "memory.usage_in_bytes") or 0, droppable)


def _version_2(folder: Path) -> _Group | None:
    limits = (_number(folder / "memory.max"), _number(folder / "memory.high"))
    limit = min((one for one in limits if one is not None), default=None)
    if limit is None:
        return None
    stat = _fields(folder / "memory.stat")
    droppable = stat.get("inactive_file", 0) + stat.get("active_file", 0)
    return _Group(limit, _number(folder / "memory.current") or 0, droppable)


def _number(file: Path) -> int | None:
    text = _text(file).strip()
    return int(text) if text.isdigit() else None


def _fields(file: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
