"""What every system's programs on the hosts have in common: how they are told, and what they tell.

A program prints a line when it is ready, waits for a line, brings the file, and prints when that
was (CLOCK_MONOTONIC, which all namespaces share) and what it cost; then it goes on giving to others
until its standard input ends.
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
    cpu_before_s = _cpu_s()  # what starting an interpreter costs is no part of it
    path = bring()
    done_s = time.monotonic()
    cpu_s = _cpu_s() - cpu_before_s
    say({"done_s": done_s, "sha256": _sha256(path)})
    cpu_before_s = _cpu_s()  # nor is comparing what came
    sys.stdin.read()
    say({"cpu_s": cpu_s + _cpu_s() - cpu_before_s, "rss_mb": _rss_mb()} | told())


def say(fields: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _rss_mb() -> float:
    """Of this process, or of a program that it ran if that was larger."""
    status = Path("/proc/self/status").read_text()
    own_kib = int(status.partition("VmHWM:")[2].split()[0])
    children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own_kib, children_kib) * 1024 / 1e6
