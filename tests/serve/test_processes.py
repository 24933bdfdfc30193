"""Daemon and workers as processes of their own: flips under load, kill -9 of either."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachd.serve.host_errors import HostRunning
from cachd.serve.resident import ResidentVersion
from tests.serve.rig import HostProcess, HostThread, LineProcess, WorkerProcess, target, until

Versions = list[ResidentVersion]


@pytest.fixture
def running() -> Iterator[list[LineProcess]]:
    processes: list[LineProcess] = []
    yield processes
    for process in processes:
        process.kill()


@pytest.fixture
def start_workers(
    running: list[LineProcess], runtime_dir: Path
) -> Callable[..., list[WorkerProcess]]:
    def start(count: int, threads: int = 1) -> list[WorkerProcess]:
        workers = [WorkerProcess(runtime_dir / "cachd.sock", threads) for _ in range(count)]
        running.extend(workers)
        for worker in workers:
            assert worker.read() == "attached"
        return workers

    return start


@pytest.fixture
def start_daemon(running: list[LineProcess], runtime_dir: Path) -> Callable[[], HostProcess]:
    def start() -> HostProcess:
        running.append(HostProcess(runtime_dir))
        process = running[-1]
        assert isinstance(process, HostProcess)
        return process

    return start


def flip_to(daemon: HostProcess, versions: Versions, flip: int, workers: int) -> dict[str, Any]:
    """Odd versions by choice 0, even ones by choice 1: the workers check the pairing."""
    number = 2 - flip % 2
    wanted = target(2, (number + 1) % 2, versions[number], versions[3 - number])
    daemon.set_target(wanted)

    def arrived() -> dict[str, Any] | None:
        seen = daemon.observed()
        return seen if (seen["flip"], seen["switched"]) == (flip, workers) else None

    seen: dict[str, Any] = until(arrived, f"flip {flip} in {workers} workers")
    return seen


def check(workers: list[WorkerProcess]) -> list[dict[str, Any]]:
    reports = [worker.report() for worker in workers]
    for report in reports:
        assert report["faults"] == []
    return reports


def await_calls(workers: list[WorkerProcess]) -> None:
    """Until each has answered a hundred times more."""
    before = [report["calls"] for report in check(workers)]

    def answered() -> bool:
        now = [report["calls"] for report in check(workers)]
        return all(calls > then + 100 for calls, then in zip(now, before, strict=True))

    until(answered, "answers")


def await_return(daemon: HostProcess, workers: int) -> dict[str, Any]:
    """Until the workers of a dead daemon have attached to this one."""
    seen: dict[str, Any] = until(
        lambda: (o := daemon.observed())["switched"] == workers and o, "they are back"
    )
    return seen


def test_a_hundred_flips_under_four_workers(
    start_daemon: Callable[[], HostProcess],
    start_workers: Callable[..., list[WorkerProcess]],
    versions: Versions,
) -> None:
    daemon = start_daemon()
    daemon.set_target(target(2, 0, versions[1], versions[2]))
    workers = start_workers(4, threads=2)
    flips = [flip_to(daemon, versions, flip, workers=4) for flip in range(2, 102)]
    # A worker tells that it switched by its first thread; the other may be about to acquire.
    until(lambda: all(worker.report()["flip"] >= 101 for worker in workers), "in both threads")
    reports = check(workers)
    print(f"{sum(report['calls'] for report in reports)} calls")
    for end in ("flip_ns", "last_switch_ns"):  # the first flip loads: left out
        took_ms = sorted((seen[end] - seen["received_ns"]) / 1e6 for seen in flips[1:])
        print(f"{end}: median {took_ms[49]:.2f} ms, worst {took_ms[-1]:.2f} ms after the target")
    for report in reports:
        assert report["loads"] in ([1, 2], [2, 1])
        assert report["flip"] == 101


def test_daemon_killed_and_restarted(
    start_daemon: Callable[[], HostProcess],
    start_workers: Callable[..., list[WorkerProcess]],
    versions: Versions,
) -> None:
    daemon = start_daemon()
    daemon.set_target(target(2, 0, versions[1], versions[2]))
    workers = start_workers(2)
    flip_to(daemon, versions, 2, workers=2)
    for flip in (3, 4, 5):
        daemon.kill()
        await_calls(workers)
        daemon = start_daemon()
        seen = await_return(daemon, workers=2)
        assert (seen["state"], seen["flip"]) == (
            "waiting",
            flip - 1,
        )  # no target, served all the same
        flip_to(daemon, versions, flip, workers=2)
    assert [report["loads"] for report in check(workers)] == [[1, 2], [1, 2]]


def test_a_lost_runtime_directory_costs_no_answer_and_no_load(
    start_daemon: Callable[[], HostProcess],
    start_workers: Callable[..., list[WorkerProcess]],
    versions: Versions,
    runtime_dir: Path,
) -> None:
    daemon = start_daemon()
    daemon.set_target(target(2, 0, versions[1], versions[2]))
    workers = start_workers(2)
    flip_to(daemon, versions, 2, workers=2)
    daemon.kill()
    shutil.rmtree(runtime_dir)
    daemon = start_daemon()
    until(lambda: daemon.observed()["workers"] == 2, "they are back")
    check(workers)
    daemon.set_target(target(2, 1, versions[2], versions[1]))
    seen = until(lambda: (o := daemon.observed())["switched"] == 2 and o, "served anew")
    assert (seen["flip"], seen["number"]) == (1, 2)
    reports = [worker.report() for worker in workers]
    assert [report["loads"] for report in reports] == [[1, 2], [1, 2]]
    # The flip count began anew: the only thing that the loops may have noticed.
    for report in reports:
        assert all(fault == "flip 1 after 2" for fault in report["faults"])


def test_a_killed_worker_frees_its_lease(
    start_host: Callable[..., HostThread],
    start_workers: Callable[..., list[WorkerProcess]],
    versions: Versions,
    running: list[LineProcess],
    runtime_dir: Path,
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    holder = LineProcess("tests.serve.holding_process", str(runtime_dir / "cachd.sock"))
    running.append(holder)
    assert holder.read() == "holding"
    host.set_target(target(2, 0, versions[3], versions[1]))
    host.await_flip(2)
    host.pass_time(601)
    assert host.leased() == {versions[1].digest, versions[3].digest}
    holder.kill()
    until(lambda: host.leased() == {versions[3].digest}, "the lease's end")
    assert host.observed().workers == 0


def test_restart_after_a_kill_between_table_and_word(
    start_host: Callable[..., HostThread], versions: Versions, runtime_dir: Path
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    page = (runtime_dir / "page").read_bytes()
    host.set_target(target(2, 0, versions[2], versions[1]))
    host.stop()
    (runtime_dir / "page").write_bytes(page)  # the word of flip 2 was never stored
    host = start_host()
    seen = host.observed()
    assert (seen.flip, seen.generation, seen.number) == (2, 2, 2)
    assert host.host._page.record(0).flip == 2


def test_unheld_versions_are_kept_while_workers_may_come_back(
    start_host: Callable[..., HostThread], versions: Versions
) -> None:
    host = start_host()
    host.set_target(target(1, 0, versions[1]))
    host.set_target(target(2, 0, versions[2], versions[1]))
    host.stop()
    host = start_host()
    host.set_target(target(3, 0, versions[3], versions[2]))
    host.pass_time(1)
    assert host.leased() == {version.digest for version in versions[1:4]}
    host.pass_time(31)
    assert host.leased() == {version.digest for version in versions[2:4]}


def test_one_daemon_per_runtime_directory(
    start_host: Callable[..., HostThread], host: HostThread
) -> None:
    with pytest.raises(HostRunning, match=f"process {os.getpid()}"):
        start_host()
    assert host.observed().state == "waiting"
