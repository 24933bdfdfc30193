"""What every system's programs on the hosts have in common: how they are told, and what they tell.

A program prints a line when it is ready, waits for a line, brings the file, and prints when that
was (CLOCK_MONOTONIC, which all namespaces share); then it goes on giving to others until its
standard input ends, and prints what it cost. The file is looked at only then, since that would hold
up the others.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def take_part(bring: Callable[[], Path], told: Callable[[], dict[str, Any]] = dict) -> None:
    """Be a program of the bench. `bring` returns where the file is; `told` is added at the end."""
    say({"ready": True})
    if not sys.stdin.readline():
        return
    user_before_s, system_before_s = _cpu_s()  # what starting an interpreter costs is no part of it
    path = bring()
    say({"done_s": time.monotonic()})
    sys.stdin.read()
    user_s, system_s = _cpu_s()
    say({
        "user_s": user_s - user_before_s,
        "system_s": system_s - system_before_s,
        "rss_mb": _rss_mb(),
        "sha256": _sha256(path),
    } | told())  # fmt: skip


def say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cpu_s() -> tuple[float, float]:
    """Of this process and those that it ran: in its own code, and in the kernel for it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime for one in used), sum(one.ru_stime for one in used)


def _rss_mb() -> float:
    """Of this process, or of a program that it ran if that was larger."""
    status = Path("/proc/self/status").read_text()
    own_kib = int(status.partition("VmHWM:")[2].split()[0])
    children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own_kib, children_kib) * 1024 / 1e6
