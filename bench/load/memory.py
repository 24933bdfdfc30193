"""What a process takes of the machine's memory, by /proc."""

from __future__ import annotations

import re
from pathlib import Path

_MAP = re.compile(r"[0-9a-f]+-[0-9a-f]+ .{4} [0-9a-f]+ \S+ \d+ *(.*)")


def memory_mb(file: str) -> dict[str, float]:
    """Of this process, each page counted in proportion to who maps it (PSS): `weights` in maps of
    the file, `heap` what has no file, `rest` in maps of other files (programs and libraries)."""
    kib = {"weights": 0, "heap": 0, "rest": 0}
    part = "rest"
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if found := _MAP.fullmatch(line):
            name = found[1]
            part = "rest" if name.startswith("/") else "heap"
            if name == file:
                part = "weights"
        elif line.startswith("Pss:"):
            kib[part] += int(line.split()[1])
        elif line.startswith("Pss_Dirty:") and part == "rest":
            kib["rest"] -= int(line.split()[1])  # written to: its own, whatever file it came from
            kib["heap"] += int(line.split()[1])
    return {name: round(value / 1024, 1) for name, value in kib.items()}
