"""What a node leaves to those who answer requests."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachd import limits
from cachd.cache.niceness import BULK_NICENESS
from cachd.cache.quota import Quota
from cachd.node import residency
from cachd.node.priority import store_threads
from registry_core import Registry
from tests.node.rig import Disk, push

STAND_BEHIND = """
import pathlib
from cachd.node.priority import stand_behind_other_services
autogroup = pathlib.Path("/proc/self/autogroup")
print(autogroup.read_text() if autogroup.exists() else "")
stand_behind_other_services()
print("---")
print(autogroup.read_text() if autogroup.exists() else "")
"""


def group_niceness(*, service: bool) -> list[int | None]:
    """Of a process, before and after it stood behind the others. None where it has no group: its
    session began without one, or the kernel makes none."""
    ran = subprocess.run(
        [sys.executable, "-c", STAND_BEHIND],
        capture_output=True, text=True, check=True, start_new_session=service,
    )  # fmt: skip
    words = (group.split() for group in ran.stdout.split("---"))
    return [int(of[-1]) if of else None for of in words]


def test_a_service_weighs_as_little_as_its_bulk_threads() -> None:
    before, after = group_niceness(service=True)
    assert after == (None if before is None else BULK_NICENESS)


def test_the_session_of_others_keeps_its_weight() -> None:
    before, after = group_niceness(service=False)
    assert after == before


PREFERRED = """
import os, sys, threading
from cachd.node.priority import prefer_this_thread
if sys.argv[1] == "unprivileged" and os.getuid() == 0:
    os.setuid(65534)
try:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    allowed = True
except PermissionError:
    allowed = False
def told():
    thread = threading.get_native_id()
    policy = os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK
    print(policy, os.getpriority(os.PRIO_PROCESS, thread), int(allowed))
prefer_this_thread()
told()
other = threading.Thread(target=told)
other.start()
other.join()
"""


@pytest.mark.parametrize("who", ["this user", "unprivileged"])
def test_the_loop_goes_before_all_others_where_it_may(who: str) -> None:
    """And no thread that it starts."""
    ran = subprocess.run(
        [sys.executable, "-c", PREFERRED, who], capture_output=True, text=True, check=True
    )
    loop, other = (tuple(map(int, line.split())) for line in ran.stdout.splitlines())
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if loop[-1]:
        assert loop[0] == os.SCHED_RR
        assert other[:2] == (os.SCHED_OTHER, before)
    else:
        assert loop[0] == os.SCHED_OTHER
        assert loop[1] <= before
        assert other == loop


def test_a_quarter_of_the_processors_beside_workers() -> None:
    processors = len(os.sched_getaffinity(0))
    assert store_threads(gently=True) == max(1, processors // 4)
    assert store_threads(gently=False) == limits.FETCH_THREADS_MAX


@pytest.mark.parametrize("workers", [True, False])
def test_bringing_is_gentle_while_workers_are_attached(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: bool
) -> None:
    asked: list[bool] = []

    def noted(*, gently: bool) -> int:
        asked.append(gently)
        return store_threads(gently=gently)

    monkeypatch.setattr(residency, "store_threads", noted)

    async def scenario() -> None:
        version = push(registry, tmp_path / "v1", {"a.bin": b"a" * 100_000})
        origin = tmp_path / "registry" / "origin"
        disk = Disk(tmp_path / "n1", registry, origin, Quota(2**30))
        disk.has_workers = workers
        await disk.residency.bring(version)
        await disk.close()

    asyncio.run(scenario())
    assert asked == [workers]
